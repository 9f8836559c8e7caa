// SPDX-License-Identifier: Apache-2.0
#include "core/parallel.hpp"

#include <atomic>
#include <vector>

#include "hashep/error.hpp"
#include "tests/support/catch.hpp"

namespace hashep::test {
namespace {

TEST_CASE("parallel_for does each thing once, and hands on an exception") {
  for (const int threads : {0, 1, 3, 8}) {
    for (const int64_t count : {0, 1, 5, 1000}) {
      std::vector<std::atomic<int>> calls(static_cast<size_t>(count));
      parallel_for(threads, count, [&](int64_t i) { ++calls[static_cast<size_t>(i)]; });
      int64_t once = 0;
      for (const auto& n : calls) once += n == 1 ? 1 : 0;
      CHECK(once == count);
    }
    std::atomic<int64_t> done = 0;
    CHECK_THROWS_WITH(parallel_for(threads, 1000000,
                                   [&](int64_t i) {
                                     if (i == 10) throw RunError("at 10");
                                     ++done;
                                   }),
                      "at 10");
    CHECK(done >= 10);
  }
}

}  // namespace
}  // namespace hashep::test
