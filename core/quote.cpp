// SPDX-License-Identifier: Apache-2.0
#include "core/quote.hpp"

#include <algorithm>
#include <array>
#include <optional>

namespace hashep {
namespace {

/// A code point of UTF-8 text, and how many bytes it has there.
struct CodePoint {
  char32_t value = 0;
  size_t bytes = 1;
};

/// The first code point of a text that is not empty; nothing where its first byte begins none.
std::optional<CodePoint> first_code_point(std::string_view text) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return CodePoint{lead, 1};
  const size_t bytes = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < bytes) return std::nullopt;
  char32_t value = lead & (0x7fu >> bytes);
  for (size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return std::nullopt;
    value = (value << 6) | (byte(i) & 0x3fu);
  }
  constexpr std::array<char32_t, 5> kLeast = {0, 0, 0x80, 0x800, 0x10000};  // by bytes
  const bool is_surrogate = value >= 0xd800 && value <= 0xdfff;
  if (value < kLeast[bytes] || value > 0x10ffff || is_surrogate) return std::nullopt;
  return CodePoint{value, bytes};
}

/// Code points [first, last].
struct CodeRange {
  char32_t first;
  char32_t last;
};

bool is_printable(char32_t value) {
  constexpr CodeRange kRefused[] = {
      {0x00, 0x1f},      {0x7f, 0x9f},     {0xad, 0xad},      // C0, DEL and C1, soft hyphen
      {0x61c, 0x61c},    {0x200b, 0x200f}, {0x2028, 0x202e},  // marks, separators, overrides
      {0x2060, 0x206f},  {0xfeff, 0xfeff}, {0xfff9, 0xfffb},  // isolates, byte order mark
      {0xe0000, 0xe007f}};                                    // tags
  return std::none_of(std::begin(kRefused), std::end(kRefused), [&](const CodeRange& range) {
    return value >= range.first && value <= range.last;
  });
}

}  // namespace

std::string printable(std::string_view text) {
  std::string shown;
  while (!text.empty()) {
    const std::optional<CodePoint> point = first_code_point(text);
    const size_t bytes = point ? point->bytes : 1;
    if (point && is_printable(point->value)) {
      shown += text.substr(0, bytes);
    } else {
      shown += '?';
    }
    text.remove_prefix(bytes);
  }
  return shown;
}

std::string quote(std::string_view text) {
  constexpr size_t kMaxBytes = 120;
  const bool is_cut = text.size() > kMaxBytes;
  if (is_cut) {
    size_t end = kMaxBytes;  // not inside of a character
    while (end > kMaxBytes - 4 && (static_cast<unsigned char>(text[end]) & 0xc0) == 0x80) --end;
    text = text.substr(0, end);
  }
  return "\"" + printable(text) + (is_cut ? "...\"" : "\"");
}

}  // namespace hashep
