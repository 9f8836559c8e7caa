// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace hashep {

/// Where a call stands in the source. Like std::source_location, which clang 14 does not have with
/// GCC's library: `where = CallPlace::current()` as a default argument is the caller's place.
struct CallPlace {
  const char* file = "";
  int line = 0;

  static constexpr CallPlace current(const char* file = __builtin_FILE(),
                                     int line = __builtin_LINE()) {
    return {file, line};
  }

  /// "stream.cpp:12".
  std::string text() const {
    std::string_view name = file;
    name.remove_prefix(name.find_last_of('/') + 1);  // 0 where there is none
    return std::string(name) + ":" + std::to_string(line);
  }
};

}  // namespace hashep
