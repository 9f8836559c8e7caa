// SPDX-License-Identifier: Apache-2.0
#include "core/strict_json.hpp"

#include <filesystem>

#include "core/atomic_file.hpp"
#include "hashep/error.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/temp_dir.hpp"

using namespace hashep;

TEST_CASE("an object is parsed") {
  const auto value = parse_json_object(R"({"a": {"a": 1}, "b": [{"a": 2}, {"a": 3}]})", "f");
  CHECK(value["b"][1]["a"] == 3);
}

TEST_CASE("what is no strict JSON object is an input error") {
  const auto error_of = [](const std::string& text) -> std::string {
    try {
      parse_json_object(text, "the file");
    } catch (const InputError& error) {
      return error.what();
    }
    return "";
  };
  CHECK(error_of("{\"a\": 1,\n \"b\" 2}") == "the file: not valid JSON at line 2, column 6");
  CHECK_THAT(error_of(""), ContainsSubstring("not valid JSON"));
  CHECK(error_of("") == "the file: not valid JSON: it is empty");
  CHECK_THAT(error_of("version https://git-lfs.github.com/spec/v1\noid sha256:00\n"),
             ContainsSubstring("it is a git-lfs pointer"));
  CHECK_THAT(error_of("<!DOCTYPE html><html>"), ContainsSubstring("it is a web page (HTML)"));
  CHECK_THAT(error_of("Entry not found"), ContainsSubstring("it is text: \"Entry not found\""));
  CHECK_THAT(error_of("{} x"), ContainsSubstring("not valid JSON"));
  CHECK_THAT(error_of("{\"a\": 1e999}"), ContainsSubstring("out of range"));
  CHECK_THAT(error_of("{\"a\": \"\xff\"}"), ContainsSubstring("not valid JSON"));
  CHECK(error_of("[1]") == "the file: not a JSON object");
  CHECK(error_of("7") == "the file: not a JSON object");
  CHECK(error_of(R"({"a": 1, "a": 1})") == "the file: key \"a\" occurs twice");
  CHECK(error_of(R"({"x": {"a": 1, "a": 1}})") == "the file: key \"a\" occurs twice");
}

TEST_CASE("whole numbers are those that fit 64 signed bits") {
  const auto of = [](const char* text) { return whole_number(nlohmann::json::parse(text)); };
  CHECK(of("9223372036854775807") == INT64_MAX);
  CHECK(of("-9223372036854775808") == INT64_MIN);
  for (const char* text : {"9223372036854775808", "18446744073709551615", "1.0", "\"1\"", "true"}) {
    CHECK_FALSE(of(text).has_value());
  }
}

TEST_CASE("a JSON file that would take all memory is refused by its size") {
  const test::TempDir dir;
  const std::string path = dir.file("a.json");
  write_file_atomically(path, "{}");
  CHECK(read_json_object(path).empty());
  std::filesystem::resize_file(path, uintmax_t{1} << 40);
  CHECK_THROWS_AS(read_json_object(path), InputError);
  CHECK_THROWS_WITH(read_json_object(path),
                    ContainsSubstring(path) && ContainsSubstring("256 MiB"));
}

TEST_CASE("deep nesting is refused and not a stack overflow") {
  const int depth = 2'000'000;
  CHECK_THROWS_WITH(parse_json_object("{\"a\":" + std::string(depth, '['), "f"),
                    ContainsSubstring("nests deeper"));
  std::string objects;
  for (int i = 0; i < 1000; ++i) objects += "{\"a\":";
  CHECK_THROWS_WITH(parse_json_object(objects, "f"), ContainsSubstring("nests deeper"));
}
