// SPDX-License-Identifier: Apache-2.0
#include "runtime/tokens/sentencepiece_model.hpp"

#include <sentencepiece_processor.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string_view>

#include "core/file_kind.hpp"
#include "core/input_file.hpp"
#include "hashep/error.hpp"

namespace hashep {
namespace {

std::string_view first_line(std::string_view text) {
  return text.substr(0, std::min(text.find_first_of("\r\n"), text.size()));
}

/// "IQ== 0": a token in base64, and its rank.
bool is_tiktoken_line(std::string_view line) {
  constexpr std::string_view kBase64 =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=";
  const size_t space = line.find(' ');
  return space != line.npos && space > 0 && space + 1 < line.size() &&
         line.substr(0, space).find_first_not_of(kBase64) == line.npos &&
         line.substr(space + 1).find_first_not_of("0123456789") == line.npos;
}

/// "<unk>\t0": a piece, and its score.
bool is_piece_line(std::string_view line) {
  const size_t tab = line.find('\t');
  return tab != line.npos && tab + 1 < line.size() &&
         line.substr(tab + 1).find_first_not_of("0123456789.-e") == line.npos;
}

std::string json_kind(std::string_view text) {
  const auto root = nlohmann::json::parse(text, nullptr, false);
  if (!root.is_object()) return "JSON text";
  if (root.contains("model") && root["model"].is_object()) {
    return "a tokenizer of Hugging Face's library (tokenizer.json)";
  }
  if (root.contains("tokenizer_class") || root.contains("added_tokens_decoder")) {
    return "settings of a tokenizer (tokenizer_config.json)";
  }
  if (root.contains("model_type") || root.contains("architectures")) {
    return "a model's settings (config.json)";
  }
  const bool has_ids = std::all_of(root.begin(), root.end(),
                                   [](const auto& value) { return value.is_number_integer(); });
  return has_ids && !root.empty() ? "a vocabulary of GPT-2's kind (vocab.json)" : "JSON text";
}

/// What the file is, where that is known and not a SentencePiece model; else empty.
std::string other_kind(std::string_view bytes) {
  if (bytes.empty()) return "an empty file";
  const auto start = std::as_bytes(std::span(bytes)).first(std::min(bytes.size(), kFileKindBytes));
  const std::string_view line = first_line(bytes);
  if (bytes.front() == '{') return json_kind(bytes);
  if (const std::string kind = file_kind(start); !kind.empty()) return kind;
  if (line.starts_with("#version:")) return "merges of GPT-2's kind (merges.txt)";
  if (is_tiktoken_line(line)) return "a vocabulary of tiktoken";
  if (is_piece_line(line)) return "the list of a model's pieces (.vocab), not the model (.model)";
  return is_ascii_text(start) ? "text" : "";
}

}  // namespace

void load_sentencepiece_model(const std::string& path,
                              sentencepiece::SentencePieceProcessor& processor) {
  const std::string bytes = read_text_file(path);
  const std::string kind = other_kind(bytes);
  if (kind.empty() && processor.LoadFromSerializedProto(bytes).ok()) return;
  throw InputError(path + ": is no SentencePiece model" + (kind.empty() ? "" : ", but " + kind) +
                   "; ids of other tokenizers are read from .npy or .bin files");
}

}  // namespace hashep
