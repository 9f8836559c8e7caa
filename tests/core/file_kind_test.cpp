// SPDX-License-Identifier: Apache-2.0
#include "core/file_kind.hpp"

#include <string_view>
#include <utility>

#include "tests/support/catch.hpp"

using namespace hashep;
using namespace std::string_view_literals;

namespace {

std::string kind_of(std::string_view text) {
  return file_kind(std::as_bytes(std::span(text)));
}

}  // namespace

TEST_CASE("files of known kinds are named by their first bytes") {
  for (const auto& [start, word] : {
           std::pair{"version https://git-lfs.github.com/spec/v1\noid sha256:4d\n"sv, "git-lfs"},
           {"\n <!DOCTYPE HTML><title>404</title>"sv, "HTML"},
           {"\xef\xbb\xbf<html>"sv, "HTML"},
           {"\x93NUMPY\x01\x00"sv, "NumPy"},
           {"PK\x03\x04\x14\x00"sv, "zip"},
           {"\x80\x02\x8a\x0al\xfc\x9c\x46\xf9\x20\x6a\xa8"sv, "PyTorch"},
           {"\x80\x04\x95\x10\x27\x00\x00\x00\x00\x00\x00"sv, "pickle"},
           {"\x1f\x8b\x08\x00"sv, "gzip"},
           {"\x10\x00\x00\x00\x00\x00\x00\x00{\"a\":"sv, "safetensors"},
           {"{\n  \"version\": \"1.0\"}"sv, "JSON"},
           {"[1, 2]"sv, "JSON"},
           {"PAR1\x15"sv, "Parquet"},
           {"MMIDIDX\x00\x00\x01"sv, "Megatron"},
       }) {
    CAPTURE(start);
    CHECK_THAT(kind_of(start), ContainsSubstring(word));
  }
}

TEST_CASE("other bytes are of no known kind, however few they are") {
  for (const auto start : {""sv, "v"sv, "some text\n"sv, "\x01\x00\x02\x00"sv, "\x80\x04\x95\x01"sv,
                           "\x80\x04\x95\x10\x27\x00\x00\x01\x00\x00\x00"sv, "{\x00\x01\x02"sv,
                           " \n"sv, "\x05\x00\x00\x00\x00\x00\x00\x00{\"\x00\x00"sv,
                           "\x10\x00\x00\x00\x00\x00\x00\x00\x01\x02"sv}) {
    CAPTURE(start);
    CHECK(kind_of(start).empty());
  }
}

TEST_CASE("ASCII text is told from other bytes") {
  const auto is_text = [](std::string_view text) {
    return is_ascii_text(std::as_bytes(std::span(text)));
  };
  CHECK(is_text("a b\tc\r\n~"));
  CHECK(is_text(""));
  CHECK_FALSE(is_text("a\x7f"));
  CHECK_FALSE(is_text("a\0b"sv));
  CHECK_FALSE(is_text("\xc3\xa4"));
}
