// SPDX-License-Identifier: Apache-2.0
#include "runtime/tokens/token_pieces.hpp"

#include <sentencepiece_processor.h>

#include "runtime/tokens/sentencepiece_model.hpp"

namespace hashep {

std::vector<std::string> token_pieces(const std::string& tokenizer, std::span<const int32_t> ids) {
  sentencepiece::SentencePieceProcessor processor;
  load_sentencepiece_model(tokenizer, processor);
  std::vector<std::string> pieces;
  for (const int32_t id : ids) {
    const bool is_known = id >= 0 && id < processor.GetPieceSize();
    pieces.push_back(is_known ? processor.IdToPiece(id) : "");
  }
  return pieces;
}

}  // namespace hashep
