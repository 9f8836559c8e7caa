// SPDX-License-Identifier: Apache-2.0
#include "runtime/tokens/text_tokens.hpp"

#include <sentencepiece_processor.h>

#include <string_view>

#include "core/setting.hpp"
#include "hashep/error.hpp"
#include "runtime/tokens/known_ids.hpp"
#include "runtime/tokens/sentencepiece_model.hpp"
#include "runtime/tokens/text_lines.hpp"

namespace hashep {

void encode_text_file(const TokenFile& file, int64_t vocab_size, const EncodedLine& take) {
  if (file.tokenizer.empty()) {
    throw InputError(file.path + ": text needs a tokenizer (" + setting("tokenizer") +
                     " MODEL); token ids are .npy or .bin files, or others with " +
                     setting("token_dtype"));
  }
  sentencepiece::SentencePieceProcessor processor;
  load_sentencepiece_model(file.tokenizer, processor);
  const IdReader<int32_t> reader({vocab_size, file.padding_id});
  std::vector<int> ids;
  int64_t tokens = 0;
  read_text_lines(file.path, [&](std::string_view line, int64_t bytes_read) {
    const auto status = processor.Encode(line, &ids);
    if (!status.ok()) throw InputError(file.path + ": cannot be encoded: " + status.ToString());
    if (!reader.take(ids, ids.data())) reader.throw_first_unknown(ids, tokens, file.path);
    tokens += std::ssize(ids);
    take(ids, bytes_read);
  });
  if (tokens == 0) throw InputError(file.path + ": no token ids in it");
}

std::vector<int32_t> tokenize_text_file(const TokenFile& file, int64_t vocab_size) {
  std::vector<int32_t> ids;
  encode_text_file(file, vocab_size, [&](std::span<const int32_t> line, int64_t) {
    ids.insert(ids.end(), line.begin(), line.end());
  });
  return ids;
}

}  // namespace hashep
