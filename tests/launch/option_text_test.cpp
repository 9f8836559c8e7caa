// SPDX-License-Identifier: Apache-2.0
#include "launch/process/option_text.hpp"

#include "core/setting.hpp"
#include "hashep/error.hpp"
#include "tests/support/catch.hpp"

using namespace hashep;

TEST_CASE("a setting is a word of the library to its users, an option to users of a program") {
  const InputError error("ids.bin: use " + setting("token_dtype") + " i32, or " +
                         setting("tokenizer"));
  CHECK(std::string(error.what()) == "ids.bin: use token_dtype i32, or tokenizer");
  CHECK(option_text(error) == "ids.bin: use --token-dtype i32, or --tokenizer");
}

TEST_CASE("a text that is said again keeps its settings") {
  const RunError inner(setting("transport") + " mpi needs none");
  const RunError outer(std::string("rank 1: ") + marked_text(inner));
  CHECK(std::string(outer.what()) == "rank 1: transport mpi needs none");
  CHECK(option_text(outer) == "rank 1: --transport mpi needs none");
  const std::runtime_error other("no error of ours");
  CHECK(marked_text(other) == std::string("no error of ours"));
  CHECK(option_text(other) == "no error of ours");
}

TEST_CASE("what a file or a user says is left alone, marks or not") {
  for (const std::string text : {"a\x1f", "\x1f\x1f", "a\x1f b/c\x1f", "\x1f \x1f", ""}) {
    CHECK(std::string(InputError(text).what()) == text);
    CHECK(option_text(InputError(text)) == text);
  }
  const InputError odd("a\x1f b: " + setting("seed"));
  CHECK(option_text(odd) == "a\x1f b: --seed");
}
