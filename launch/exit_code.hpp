// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace hashep {

inline constexpr int kExitSuccess = 0;
inline constexpr int kExitFailure = 1;   // while running
inline constexpr int kExitBadInput = 2;  // before anything was done

/// Prints "hashep: error: TEXT" as one line on stderr.
void print_error(const std::string& text);

}  // namespace hashep
