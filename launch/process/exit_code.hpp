// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace hashep {

inline constexpr int kExitSuccess = 0;
inline constexpr int kExitFailure = 1;   // while running
inline constexpr int kExitBadInput = 2;  // before anything was done

/// Prints "PROGRAM: error: TEXT" as one line on stderr, fit for a terminal whatever stands in it.
void print_error(std::string_view program, std::string_view text);

}  // namespace hashep
