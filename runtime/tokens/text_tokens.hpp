// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "runtime/tokens/token_stream.hpp"

namespace hashep {

/// Hands the token ids of a text file's lines, one after the other, to `take`, as a SentencePiece
/// model encodes each line by itself (a line's end makes no token), with the bytes read so far;
/// file.padding_id comes as kPaddingId. Memory: one line. Throws InputError where no tokenizer is
/// given, a file cannot be read or is no text (read_text_lines), the model is none, no token comes
/// out, or an id is outside [0, vocab_size).
using EncodedLine = std::function<void(std::span<const int32_t> ids, int64_t bytes_read)>;
void encode_text_file(const TokenFile& file, int64_t vocab_size, const EncodedLine& take);

/// The ids of all lines.
std::vector<int32_t> tokenize_text_file(const TokenFile& file, int64_t vocab_size);

}  // namespace hashep
