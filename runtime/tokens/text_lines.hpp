// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace hashep {

/// Hands the lines of a text file, one after the other and without their ends (\n or \r\n), to
/// `take`, with the bytes read so far. Memory: the longest line, and a MiB. Throws InputError,
/// naming the file and the byte, where it is no text: UTF-8 without NUL (file_kind says what it is
/// instead, where that is known); and where it cannot be read, or is written to meanwhile.
using TextLine = std::function<void(std::string_view line, int64_t bytes_read)>;
void read_text_lines(const std::string& path, const TextLine& take);

}  // namespace hashep
