// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace sentencepiece {
class SentencePieceProcessor;
}

namespace hashep {

/// Loads a SentencePiece model. Throws InputError where the file cannot be read, or is none: the
/// text then tells what it is, where that is known (another library's tokenizer, a git-lfs
/// pointer).
void load_sentencepiece_model(const std::string& path,
                              sentencepiece::SentencePieceProcessor& processor);

}  // namespace hashep
