// SPDX-License-Identifier: Apache-2.0
#include "core/format.hpp"

#include "tests/support/catch.hpp"

namespace hashep::test {
namespace {

TEST_CASE("format writes texts of any length, none cut") {
  CHECK(format("%s", "") == "");
  CHECK(format("%5.1f %% of %lld", 12.34, 7LL) == " 12.3 % of 7");
  for (const int width : {1, 254, 255, 256, 257, 5000}) {
    const std::string text = format("%*d|", width, 7);
    CHECK(text == std::string(width - 1, ' ') + "7|");
  }
}

}  // namespace
}  // namespace hashep::test
