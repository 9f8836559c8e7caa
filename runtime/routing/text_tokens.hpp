// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

namespace hashep {

/// Hands the token ids of a text file's lines, one after the other, to `take`, as a SentencePiece
/// model encodes each line by itself (a line's end, \n or \r\n, makes no token), with the bytes
/// read so far. Memory: one line. Throws InputError where no tokenizer is given, a file cannot be
/// read, the model is none, or no token comes out.
using EncodedLine = std::function<void(std::span<const int32_t> ids, int64_t bytes_read)>;
void encode_text_file(const std::string& path, const std::string& tokenizer,
                      const EncodedLine& take);

/// The ids of all lines.
std::vector<int32_t> tokenize_text_file(const std::string& path, const std::string& tokenizer);

}  // namespace hashep
