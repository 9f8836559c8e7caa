// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace hashep {

/// Runs a command of one process, which needs no MPI, and returns its exit code (core/exit_code):
/// an error makes one line on stderr.
int run_locally(const std::function<void()>& work);

/// Parses `hashep COMMAND ...`. False where --help or --version was asked for and has been
/// answered. Throws InputError.
bool parse_local_options(CLI::App& app, int argc, char** argv);

/// An option that takes a number, or a list of them, with K, M and G suffixes, in [least, most].
struct CountLimits {
  int64_t least = 1;
  int64_t most = INT64_MAX;
};
CLI::Option* add_count(CLI::App& app, const std::string& name, int64_t& value,
                       const CountLimits& limits, const std::string& help);
CLI::Option* add_counts(CLI::App& app, const std::string& name, std::vector<int64_t>& values,
                        const CountLimits& limits, const std::string& help);

}  // namespace hashep
