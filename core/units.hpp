// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace hashep {

/// Parses a whole number with an optional suffix K, M or G (or k, m, g), powers of 1024; a decimal
/// fraction is allowed where the result is whole ("1.5K"). Throws InputError naming `what` where
/// the text is no such number or does not fit int64.
int64_t parse_count(std::string_view text, std::string_view what);

/// Bytes for people: "512 B", "1.50 MiB".
std::string format_bytes(int64_t bytes);

}  // namespace hashep
