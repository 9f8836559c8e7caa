// SPDX-License-Identifier: Apache-2.0
#include "core/units.hpp"

#include <limits>

#include "hashep/error.hpp"
#include "tests/support/catch.hpp"

using namespace hashep;

TEST_CASE("counts take suffixes and decimals that come out whole") {
  CHECK(parse_count("0", "n") == 0);
  CHECK(parse_count("42", "n") == 42);
  CHECK(parse_count("4K", "n") == 4096);
  CHECK(parse_count("4k", "n") == 4096);
  CHECK(parse_count("3M", "n") == 3145728);
  CHECK(parse_count("2g", "n") == int64_t{2} << 30);
  CHECK(parse_count("1.5K", "n") == 1536);
  CHECK(parse_count("0.125M", "n") == 131072);
  CHECK(parse_count("7.000", "n") == 7);
  CHECK(parse_count("9223372036854775807", "n") == std::numeric_limits<int64_t>::max());
  CHECK(parse_count("8589934591.5G", "n") == 9223372036317904896);
}

TEST_CASE("what is no count is an input error that names it") {
  for (const auto* text : {"",
                           "K",
                           "-1",
                           "+1",
                           " 1",
                           "1 ",
                           "1.5",
                           "1.0001K",
                           ".5K",
                           "1.K",
                           "1KK",
                           "1T",
                           "0x10",
                           "1e3",
                           "nan",
                           "9223372036854775808",
                           "9007199254740992K",
                           "8589934592G",
                           "1.5.5K",
                           "1.-5K"}) {
    INFO(text);
    CHECK_THROWS_AS(parse_count(text, "--steps"), InputError);
  }
  CHECK_THROWS_WITH(parse_count("ten\n", "--steps"),
                    ContainsSubstring("--steps") && ContainsSubstring("\"ten?\""));
}

TEST_CASE("bytes are written for people") {
  CHECK(format_bytes(0) == "0 B");
  CHECK(format_bytes(1023) == "1023 B");
  CHECK(format_bytes(1024) == "1.00 KiB");
  CHECK(format_bytes(1572864) == "1.50 MiB");
  CHECK(format_bytes(int64_t{5} << 30) == "5.00 GiB");
  CHECK(format_bytes(int64_t{3} << 41) == "6144.00 GiB");
}
