// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <vector>

namespace hashep {

/// An option for a number, with the suffixes of parse_count. `name`: "--steps".
void add_count(CLI::App& app, const std::string& name, int64_t& value,
               const std::string& description);

/// An option that takes a number, or a list of them, in [least, most].
struct CountLimits {
  int64_t least = 1;
  int64_t most = INT64_MAX;
};
CLI::Option* add_count(CLI::App& app, const std::string& name, int64_t& value,
                       const CountLimits& limits, const std::string& help);
CLI::Option* add_counts(CLI::App& app, const std::string& name, std::vector<int64_t>& values,
                        const CountLimits& limits, const std::string& help);

/// Throws InputError, naming the option and what is known, where `value` is not among these.
void require_one_of(const std::string& option, const std::string& value,
                    std::initializer_list<const char*> known);

/// Throws InputError, naming the option, unless least <= value <= most.
void require_between(const std::string& option, int64_t value, int64_t least, int64_t most);

}  // namespace hashep
