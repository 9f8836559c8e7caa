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

std::vector<int32_t> tokenize_text_file(const std::string& path, const std::string& tokenizer) {
  if (tokenizer.empty()) {
    throw InputError(path +
                     ": text needs a tokenizer (--tokenizer MODEL); token ids are .npy or "
                     ".bin files");
  }
  const MappedFile file(path);
  sentencepiece::SentencePieceProcessor processor;
  load_model(tokenizer, processor);

  std::vector<int32_t> ids;
  std::vector<int> line_ids;
  std::string_view rest = text_of(file);
  while (!rest.empty()) {
    const size_t length = std::min(rest.find('\n'), rest.size());
    std::string_view line = rest.substr(0, length);
    if (line.ends_with('\r')) line.remove_suffix(1);
    const auto status = processor.Encode(line, &line_ids);
    if (!status.ok()) throw InputError(path + ": cannot be encoded: " + status.ToString());
    ids.insert(ids.end(), line_ids.begin(), line_ids.end());
    rest.remove_prefix(std::min(length + 1, rest.size()));
  }
  if (ids.empty()) throw InputError(path + ": no token ids in it");
  return ids;
}

}  // namespace hashep
