// SPDX-License-Identifier: Apache-2.0
#include "runtime/routing/token_pieces.hpp"

#include <sentencepiece_processor.h>

#include <string_view>

#include "core/error.hpp"
#include "core/mapped_file.hpp"

namespace hashep {

std::vector<std::string> token_pieces(const std::string& tokenizer, std::span<const int32_t> ids) {
  const MappedFile model(tokenizer);
  const std::string_view bytes{reinterpret_cast<const char*>(model.bytes().data()),
                               model.bytes().size()};
  sentencepiece::SentencePieceProcessor processor;
  if (!processor.LoadFromSerializedProto(bytes).ok()) {
    throw InputError(tokenizer + ": is no SentencePiece model");
  }
  std::vector<std::string> pieces;
  for (const int32_t id : ids) {
    const bool is_known = id >= 0 && id < processor.GetPieceSize();
    pieces.push_back(is_known ? processor.IdToPiece(id) : "");
  }
  return pieces;
}

}  // namespace hashep
