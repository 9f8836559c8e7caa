// SPDX-License-Identifier: Apache-2.0
#include "runtime/tokens/text_lines.hpp"

#include <algorithm>
#include <optional>
#include <vector>

#include "core/file_kind.hpp"
#include "core/input_file.hpp"
#include "core/setting.hpp"
#include "hashep/error.hpp"

namespace hashep {
namespace {

/// The bytes of the character of UTF-8 that begins here; 0 where none does (RFC 3629, section 4).
size_t character_bytes(std::string_view text) {
  const auto byte = [&](size_t i) { return i < text.size() ? text[i] & 0xff : 0; };
  const int lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead < 0xc2 || lead > 0xf4) return 0;
  const size_t bytes = lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
  // No character in more bytes than it needs, no surrogate, none beyond U+10FFFF.
  const int least = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80;
  const int most = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
  if (byte(1) < least || byte(1) > most) return 0;
  for (size_t i = 2; i < bytes; ++i) {
    if (byte(i) < 0x80 || byte(i) > 0xbf) return 0;
  }
  return bytes;
}

/// The index of the first byte where no character of UTF-8 begins, if there is one.
std::optional<size_t> first_bad(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    const size_t bytes = character_bytes(text.substr(at));
    if (bytes == 0) return at;
    at += bytes;
  }
  return std::nullopt;
}

std::vector<std::byte> start_of(const InputFile& file) {
  std::vector<std::byte> start(std::min(static_cast<size_t>(file.size()), kFileKindBytes));
  file.read(0, start);
  return start;
}

[[noreturn]] void throw_no_text(const InputFile& file, const std::string& reason) {
  std::string kind = file_kind(start_of(file));
  if (kind.empty()) kind = "no text in UTF-8";
  throw InputError(file.path() + ": this is " + kind + ": " + reason +
                   "; binary token ids are read from .npy or .bin files, or with " +
                   setting("token_dtype") + " and without " + setting("tokenizer"));
}

/// Throws where a block of the file, from byte `at` on, has a NUL: no text has, most binary files
/// do, and a file of zeros would be one line.
void require_no_nul(const InputFile& file, std::string_view block, int64_t at) {
  const size_t nul = block.find('\0');
  if (nul == block.npos) return;
  throw_no_text(file, "byte " + std::to_string(at + static_cast<int64_t>(nul)) + " is NUL");
}

/// `at`: where the line is in the file.
void require_utf8(const InputFile& file, std::string_view line, int64_t at) {
  const auto bad = first_bad(line);
  if (!bad) return;
  throw_no_text(file,
                "byte " + std::to_string(at + static_cast<int64_t>(*bad)) + " begins no character");
}

}  // namespace

void read_text_lines(const std::string& path, const TextLine& take) {
  constexpr int64_t kBlockBytes = int64_t{1} << 20;
  const InputFile file(path);
  if (is_lfs_pointer(start_of(file))) {
    throw InputError(path + ": this is " + file_kind(start_of(file)));
  }
  std::string text;  // from the line's start on
  int64_t line_at = 0;
  const auto take_line = [&](std::string_view line, int64_t end) {
    require_utf8(file, line, line_at);
    if (line.ends_with('\r')) line.remove_suffix(1);
    take(line, end);
    line_at = end;
  };
  for (int64_t read = 0; read < file.size();) {
    const int64_t count = std::min(kBlockBytes, file.size() - read);
    size_t looked_at = text.size();
    text.resize(text.size() + static_cast<size_t>(count));
    file.read(read, std::as_writable_bytes(std::span(text).subspan(looked_at)));
    require_no_nul(file, std::string_view(text).substr(looked_at), read);
    read += count;
    size_t begin = 0;
    for (size_t end = 0; (end = text.find('\n', looked_at)) != text.npos; looked_at = begin) {
      const std::string_view line = std::string_view(text).substr(begin, end - begin);
      begin = end + 1;
      take_line(line, line_at + static_cast<int64_t>(line.size()) + 1);
    }
    text.erase(0, begin);
  }
  if (!text.empty()) take_line(text, file.size());
  file.require_unchanged();
}

}  // namespace hashep
