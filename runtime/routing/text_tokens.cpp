// SPDX-License-Identifier: Apache-2.0
#include "runtime/routing/text_tokens.hpp"

#include <sentencepiece_processor.h>

#include <algorithm>
#include <string_view>

#include "core/error.hpp"
#include "core/mapped_file.hpp"

namespace hashep {
namespace {

std::string_view text_of(const MappedFile& file) {
  return {reinterpret_cast<const char*>(file.bytes().data()), file.bytes().size()};
}

void load_model(const std::string& path, sentencepiece::SentencePieceProcessor& processor) {
  const MappedFile model(path);
  const auto status = processor.LoadFromSerializedProto(text_of(model));
  if (!status.ok()) throw InputError(path + ": is no SentencePiece model");
}

}  // namespace

void encode_text_file(const std::string& path, const std::string& tokenizer,
                      const EncodedLine& take) {
  constexpr size_t kKeptBytes = size_t{64} << 20;  // of the mapped file
  if (tokenizer.empty()) {
    throw InputError(path +
                     ": text needs a tokenizer (--tokenizer MODEL); token ids are .npy or "
                     ".bin files");
  }
  const MappedFile file(path);
  sentencepiece::SentencePieceProcessor processor;
  load_model(tokenizer, processor);

  const std::string_view text = text_of(file);
  std::vector<int> ids;
  size_t dropped_at = 0;
  bool is_empty = true;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    std::string_view line = text.substr(at, end - at);
    if (line.ends_with('\r')) line.remove_suffix(1);
    const auto status = processor.Encode(line, &ids);
    if (!status.ok()) throw InputError(path + ": cannot be encoded: " + status.ToString());
    at = std::min(end + 1, text.size());
    is_empty = is_empty && ids.empty();
    take(ids, static_cast<int64_t>(at));
    if (at - dropped_at < kKeptBytes) continue;
    file.drop_pages();
    dropped_at = at;
  }
  if (is_empty) throw InputError(path + ": no token ids in it");
}

std::vector<int32_t> tokenize_text_file(const std::string& path, const std::string& tokenizer) {
  std::vector<int32_t> ids;
  encode_text_file(path, tokenizer, [&](std::span<const int32_t> line, int64_t) {
    ids.insert(ids.end(), line.begin(), line.end());
  });
  return ids;
}

}  // namespace hashep
