// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <functional>

namespace hashep {

/// Parses the options of a command of one process, which argv[first - 1] names; --version, and
/// --config FILE.toml for any of them, are declared here. Returns false where --help or --version
/// was asked for and has been answered. Throws InputError.
bool parse_options(CLI::App& app, int argc, char** argv, int first);

/// Runs a command of one process, with no MPI, and returns its exit code (process/exit_code.hpp):
/// an error makes one line on stderr, what did not get to stdout being one.
int run_single_process(const std::function<void()>& command);

}  // namespace hashep
