// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>
#include <random>

#include "hashep/error.hpp"
#include "hashep/routing_table.hpp"
#include "runtime/routing/table_builder.hpp"
#include "tests/support/catch.hpp"

namespace hashep::test {
namespace {

TEST_CASE("the random table has distinct experts, drawn evenly, from the seed alone") {
  for (const int top_k : {1, 3, 8}) {
    const RoutingTable table = build_random_table(8000, 8, top_k, 11);
    validate_table(table, 8, "random");
    CHECK(table == build_random_table(8000, 8, top_k, 11));
    CHECK_FALSE(table == build_random_table(8000, 8, top_k, 12));
    // Each choice by itself is uniform: 1,000 per expert, standard deviation 30.
    for (int choice = 0; choice < top_k; ++choice) {
      std::vector<int> uses(8);
      for (size_t row = 0; row < 8000; ++row) {
        ++uses[table.experts[row * static_cast<size_t>(top_k) + static_cast<size_t>(choice)]];
      }
      CAPTURE(top_k, choice, uses);
      CHECK(std::all_of(uses.begin(), uses.end(), [](int n) { return n > 850 && n < 1150; }));
    }
  }
  CHECK_THROWS_AS(build_random_table(10, 4, 5, 0), InputError);
}

}  // namespace
}  // namespace hashep::test
