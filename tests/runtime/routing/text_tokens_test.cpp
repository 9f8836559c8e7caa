// SPDX-License-Identifier: Apache-2.0
#include "runtime/routing/text_tokens.hpp"

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>
#include <xxhash.h>

#include "core/error.hpp"
#include "runtime/routing/token_counts.hpp"
#include "runtime/routing/token_pieces.hpp"
#include "runtime/routing/token_stream.hpp"
#include "tests/runtime/routing/test_files.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temp_dir.hpp"

namespace hashep::test {
namespace {

/// Trains a model whose pieces are single characters, so that a line's ids follow from its letters.
void train_character_model(const TempDir& dir, const std::string& model) {
  const std::string corpus = dir.file("corpus.txt");
  write_bytes(corpus, "abc cab bca\nacb bac cba\n");
  const auto status = sentencepiece::SentencePieceTrainer::Train(
      "--input=" + corpus + " --model_prefix=" + model +
      " --model_type=char --vocab_size=7 --minloglevel=2");
  REQUIRE(status.ok());
}

TEST_CASE("text is encoded line by line, each line as if alone") {
  const TempDir dir;
  train_character_model(dir, dir.file("tok"));
  const std::string model = dir.file("tok.model");
  sentencepiece::SentencePieceProcessor processor;
  REQUIRE(processor.Load(model).ok());
  const int32_t space = processor.PieceToId("\xe2\x96\x81");
  const int32_t a = processor.PieceToId("a");
  const int32_t b = processor.PieceToId("b");
  const int32_t c = processor.PieceToId("c");
  REQUIRE(a != processor.unk_id());

  const std::string text = dir.file("text.txt");
  write_bytes(text, "abc\n\ncab a\r\nb");
  const std::vector<int32_t> expected = {space, a, b, c, space, c, a, b, space, a, space, b};
  CHECK(tokenize_text_file(text, model) == expected);

  const auto stream = open_token_file({text, "u16", model});
  CHECK(stream->size() == 12);
  std::vector<int32_t> ids(4);
  stream->read(10, ids);
  CHECK(ids == std::vector<int32_t>{space, b, space, a});

  const std::vector<TokenFile> files = {{text, "u16", model}};
  const TokenCounts counts = count_tokens(files, 7);
  CHECK(counts.total == 12);
  CHECK(counts.counts[static_cast<size_t>(b)] == 3);
  CHECK(counts.digest == XXH64(expected.data(), expected.size() * sizeof(int32_t), 0));

  // Bytes that are no UTF-8 are unknown characters, no error.
  write_bytes(text, "a\xff");
  CHECK(tokenize_text_file(text, model).size() == 3);

  write_bytes(text, "\n\n");
  CHECK_THROWS_WITH(tokenize_text_file(text, model), text + ": no token ids in it");
  CHECK_THROWS_AS(tokenize_text_file(dir.file("missing.txt"), model), InputError);
}

TEST_CASE("ids are named as the tokenizer has them") {
  const TempDir dir;
  train_character_model(dir, dir.file("tok"));
  const std::string model = dir.file("tok.model");
  sentencepiece::SentencePieceProcessor processor;
  REQUIRE(processor.Load(model).ok());
  const std::vector<int32_t> ids = {processor.PieceToId("b"), processor.PieceToId("\xe2\x96\x81"),
                                    7, -1};
  CHECK(token_pieces(model, ids) == std::vector<std::string>{"b", "\xe2\x96\x81", "", ""});
  CHECK_THROWS_AS(token_pieces(dir.file("missing.model"), ids), InputError);
}

TEST_CASE("text without a usable tokenizer is refused") {
  const TempDir dir;
  const std::string text = dir.file("text.txt");
  write_bytes(text, "abc\n");
  CHECK_THROWS_WITH(open_token_file({text, "u16", ""}), ContainsSubstring("--tokenizer MODEL"));
  CHECK_THROWS_AS(tokenize_text_file(text, dir.file("missing.model")), InputError);
  CHECK_THROWS_WITH(tokenize_text_file(text, text), text + ": is no SentencePiece model");
  write_bytes(dir.file("empty.model"), "");
  CHECK_THROWS_AS(tokenize_text_file(text, dir.file("empty.model")), InputError);
}

}  // namespace
}  // namespace hashep::test
