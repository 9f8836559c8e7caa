// SPDX-License-Identifier: Apache-2.0
#include "runtime/tokens/text_tokens.hpp"

#include <sentencepiece_processor.h>
#include <sentencepiece_trainer.h>
#include <xxhash.h>

#include <algorithm>

#include "hashep/error.hpp"
#include "runtime/tokens/text_lines.hpp"
#include "runtime/tokens/token_counts.hpp"
#include "runtime/tokens/token_pieces.hpp"
#include "runtime/tokens/token_stream.hpp"
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

std::vector<int32_t> tokenize(const std::string& text, const std::string& model) {
  return tokenize_text_file({text, {}, model}, 7);
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
  CHECK(tokenize(text, model) == expected);

  const auto stream = open_token_file({text, TokenDtype::u16, model}, 7);
  CHECK(stream->size() == 12);
  std::vector<int32_t> ids(4);
  stream->read(10, ids);
  CHECK(ids == std::vector<int32_t>{space, b, space, a});

  const std::vector<TokenFile> files = {{text, TokenDtype::u16, model}};
  const TokenCounts counts = count_tokens(files, 7);
  CHECK(counts.total == 12);
  CHECK(counts.counts[b] == 3);
  CHECK(counts.digest == XXH64(expected.data(), expected.size() * sizeof(int32_t), 0));

  // An id may be padding; others have to be in the vocabulary.
  std::vector<int32_t> padded = expected;
  std::replace(padded.begin(), padded.end(), space, kPaddingId);
  CHECK(tokenize_text_file({text, {}, model, space}, 7) == padded);
  const int32_t largest = *std::max_element(expected.begin(), expected.end());
  const auto place = std::find(expected.begin(), expected.end(), largest) - expected.begin();
  CHECK_THROWS_WITH(tokenize_text_file({text, {}, model}, largest),
                    ContainsSubstring(text + ": token " + std::to_string(place) + " has id " +
                                      std::to_string(largest)));

  write_bytes(text, "\n\n");
  CHECK_THROWS_WITH(tokenize(text, model), text + ": no token ids in it");
  CHECK_THROWS_AS(tokenize(dir.file("missing.txt"), model), InputError);
}

TEST_CASE("lines of a text are read as they stand, also where they are long") {
  const TempDir dir;
  const std::string path = dir.file("text.txt");
  const std::string longest((size_t{5} << 20) + 3, 'x');
  const std::vector<std::string> expected = {"", "a", longest,
                                             "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "z"};
  write_bytes(path, "\na\r\n" + longest + "\n" + expected[3] + "\nz");
  std::vector<std::string> lines;
  std::vector<int64_t> ends;
  read_text_lines(path, [&](std::string_view line, int64_t bytes_read) {
    lines.emplace_back(line);
    ends.push_back(bytes_read);
  });
  CHECK((lines == expected));  // in brackets: not to be printed
  const int64_t after = 4 + std::ssize(longest) + 1;
  CHECK(ends == std::vector<int64_t>{1, 4, after, after + 10, after + 11});

  write_bytes(path, "");
  read_text_lines(path, [](std::string_view, int64_t) { FAIL("a line of an empty file"); });
}

TEST_CASE("what is no text in UTF-8 is refused, with the byte and a way to read ids") {
  const TempDir dir;
  const std::string path = dir.file("tokens.ds");
  const auto error_of = [&](const std::string& bytes) -> std::string {
    write_bytes(path, bytes);
    try {
      read_text_lines(path, [](std::string_view, int64_t) {});
    } catch (const InputError& error) {
      return error.what();
    }
    return "";
  };
  CHECK(error_of("ab\ncd\n").empty());
  CHECK_THAT(error_of(std::string("ab\nc\0d\n", 7)),
             ContainsSubstring(path + ": this is no text in UTF-8: byte 4 is NUL; binary token ids "
                                      "are read from .npy or .bin files, or with token_dtype"));
  for (const std::string bad : {"\xff", "\xc3", "\xc3 ", "\xa4", "\xc0\x80", "\xed\xa0\x80",
                                "\xe2\x82", "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80"}) {
    CAPTURE(bad);
    CHECK_THAT(error_of("ab\nc\xc3\xa4" + bad + "d\n"),
               ContainsSubstring("byte 6 begins no character"));
    CHECK_THAT(error_of("ab\nc\xc3\xa4" + bad), ContainsSubstring("byte 6 begins no character"));
  }
  CHECK_THAT(error_of("version https://git-lfs.github.com/spec/v1\noid"),
             ContainsSubstring("git-lfs pointer"));
  CHECK_THAT(error_of("\x1f\x8b\x08 and so on"), ContainsSubstring("this is a gzip archive"));
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
  CHECK_THROWS_WITH(open_token_file({text}, 7), ContainsSubstring("(tokenizer MODEL)"));
  CHECK_THROWS_AS(tokenize(text, dir.file("missing.model")), InputError);
}

TEST_CASE("tokenizers of other kinds are named as what they are") {
  const TempDir dir;
  const std::string path = dir.file("tokenizer");
  const auto check_named = [&](const std::string& bytes, const std::string& word) {
    write_bytes(path, bytes);
    CAPTURE(bytes);
    const std::vector<int32_t> ids = {1};
    CHECK_THROWS_AS(token_pieces(path, ids), InputError);
    CHECK_THROWS_WITH(token_pieces(path, ids),
                      path + ": is no SentencePiece model" + (word.empty() ? "" : ", but " + word) +
                          "; ids of other tokenizers are read from .npy or .bin files");
  };
  check_named("", "an empty file");
  check_named("\x01\x02", "");
  check_named("Some words.\n", "text");
  check_named(R"({"version": "1.0", "added_tokens": [], "model": {"type": "BPE"}})",
              "a tokenizer of Hugging Face's library (tokenizer.json)");
  check_named(R"({"tokenizer_class": "LlamaTokenizer"})",
              "settings of a tokenizer (tokenizer_config.json)");
  check_named(R"({"model_type": "deepseek_v4"})", "a model's settings (config.json)");
  check_named(R"({"!": 0, "the": 1})", "a vocabulary of GPT-2's kind (vocab.json)");
  check_named(R"({"model": )", "JSON text");
  check_named("#version: 0.2\ni n\n", "merges of GPT-2's kind (merges.txt)");
  check_named("IQ== 0\nIg== 1\n", "a vocabulary of tiktoken");
  check_named("<unk>\t0\n<s>\t0\n",
              "the list of a model's pieces (.vocab), not the model (.model)");
  check_named("version https://git-lfs.github.com/spec/v1\noid sha256:4d\n",
              "a git-lfs pointer, whose contents were not fetched (git lfs pull)");
  check_named("<!doctype html><html>", "a web page (HTML)");
}

}  // namespace
}  // namespace hashep::test
