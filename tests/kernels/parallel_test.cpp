// SPDX-License-Identifier: Apache-2.0
#include "kernels/parallel.hpp"

#include <algorithm>
#include <atomic>
#include <string>
#include <vector>

#include "hashep/error.hpp"
#include "tests/support/catch.hpp"

namespace hashep::test {
namespace {

TEST_CASE("parallel work does each thing once, and hands on the first exception") {
  for (const int threads : {0, 1, 3, 8}) {
    for (const int64_t count : {0, 1, 5, 1000}) {
      std::vector<std::atomic<int>> by_items(count);
      std::vector<std::atomic<int>> by_ranges(count);
      std::atomic<int> strangers = 0;
      parallel_items(count, threads, [&](int thread, int64_t i) {
        ++by_items[i];
        if (thread < 0 || thread >= std::max(threads, 1) || omp_get_max_threads() != 1) ++strangers;
      });
      parallel_ranges(count, threads, 2, [&](int64_t begin, int64_t end) {
        for (int64_t i = begin; i < end; ++i) ++by_ranges[i];
      });
      const auto once = [](const std::atomic<int>& calls) { return calls == 1; };
      CHECK(std::all_of(by_items.begin(), by_items.end(), once));
      CHECK(std::all_of(by_ranges.begin(), by_ranges.end(), once));
      CHECK(strangers == 0);
    }
    const auto fail_at = [](int64_t i) { throw RunError("at " + std::to_string(i)); };
    std::atomic<int64_t> done = 0;
    CHECK_THROWS_WITH(parallel_items(1000000, threads,
                                     [&](int, int64_t i) {
                                       if (i >= 10) fail_at(i);
                                       ++done;
                                     }),
                      "at 10");
    CHECK(done == 10);
    CHECK_THROWS_WITH(
        parallel_ranges(800, threads, 1, [&](int64_t begin, int64_t) { fail_at(begin); }), "at 0");
  }
}

}  // namespace
}  // namespace hashep::test
