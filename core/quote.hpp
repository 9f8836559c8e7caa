// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace hashep {

/// Text of a file or a user in quotes, fit for a one-line message: control characters become '?',
/// and what is longer than 120 bytes is cut.
inline std::string quote(std::string_view text) {
  constexpr size_t kMaxLength = 120;  // bytes
  std::string quoted = "\"";
  for (const char c : text.substr(0, kMaxLength)) {
    const bool is_control = static_cast<unsigned char>(c) < 0x20 || c == 0x7f;
    quoted += is_control ? '?' : c;
  }
  return quoted + (text.size() > kMaxLength ? "...\"" : "\"");
}

}  // namespace hashep
