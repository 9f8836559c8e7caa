// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace hashep {

/// Text of a file or a user, fit for a terminal and for one line: '?' stands for each control
/// character (also those of C1, alone or in UTF-8), for each character without a place of its own
/// that changes how others are shown (bidirectional overrides, zero widths, line separators), and
/// for each byte that is not UTF-8.
std::string printable(std::string_view text);

/// The same in quotes; what is longer than 120 bytes is cut.
std::string quote(std::string_view text);

}  // namespace hashep
