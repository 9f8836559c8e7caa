// SPDX-License-Identifier: Apache-2.0
#include "core/wrong_file.hpp"

#include <algorithm>
#include <string_view>
#include <vector>

#include "core/file_kind.hpp"
#include "core/input_file.hpp"
#include "core/quote.hpp"
#include "hashep/error.hpp"

namespace hashep {

std::string what_it_is(std::span<const std::byte> start, int64_t file_size) {
  if (file_size == 0) return "it is empty";
  const bool is_zero =
      std::all_of(start.begin(), start.end(), [](std::byte byte) { return byte == std::byte{0}; });
  if (is_zero) return "it begins with zeros alone";
  if (const std::string kind = file_kind(start); !kind.empty()) return "it is " + kind;
  if (!is_ascii_text(start)) return "";
  const std::string_view text(reinterpret_cast<const char*>(start.data()), start.size());
  return "it is text: " + quote(text.substr(0, text.find_last_not_of(" \t\r\n") + 1));
}

std::string what_it_is(const std::string& path) {
  try {
    const InputFile file(path);
    std::vector<std::byte> start(std::min(file.size(), int64_t{kFileKindBytes}));
    file.read(0, start);
    return what_it_is(start, file.size());
  } catch (const InputError&) {
    return "";
  }
}

}  // namespace hashep
