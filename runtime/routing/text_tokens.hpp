// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace hashep {

/// The token ids of a text file's lines, one after the other, as a SentencePiece model encodes each
/// line by itself (a line's end, \n or \r\n, makes no token). Memory: the ids, and one line. Throws
/// InputError where no tokenizer is given, a file cannot be read, the model is none, or no token
/// comes out.
std::vector<int32_t> tokenize_text_file(const std::string& path, const std::string& tokenizer);

}  // namespace hashep
