// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <initializer_list>
#include <string>

namespace hashep {

/// An option for a number, with the suffixes of parse_count. `name`: "--steps".
void add_count(CLI::App& app, const std::string& name, int64_t& value,
               const std::string& description);

/// Throws InputError, naming the option and what is known, where `value` is not among these.
void require_one_of(const std::string& option, const std::string& value,
                    std::initializer_list<const char*> known);

/// Throws InputError, naming the option, unless least <= value <= most.
void require_between(const std::string& option, int64_t value, int64_t least, int64_t most);

}  // namespace hashep
