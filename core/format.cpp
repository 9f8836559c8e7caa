// SPDX-License-Identifier: Apache-2.0
#include "core/format.hpp"

#include <array>
#include <cstdarg>
#include <cstdio>

namespace hashep {

std::string format(const char* pattern, ...) {
  std::array<char, 256> line{};
  std::va_list values;
  va_start(values, pattern);
  const int length = std::vsnprintf(line.data(), line.size(), pattern, values);
  va_end(values);
  if (length < static_cast<int>(line.size())) return line.data();
  std::string text(static_cast<size_t>(length), '\0');
  va_start(values, pattern);
  std::vsnprintf(text.data(), text.size() + 1, pattern, values);  // its end writes a 0 over a 0
  va_end(values);
  return text;
}

}  // namespace hashep
