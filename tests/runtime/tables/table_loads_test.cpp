// SPDX-License-Identifier: Apache-2.0
#include "runtime/tables/table_loads.hpp"
#include "hashep/error.hpp"
#include "tests/support/catch.hpp"

namespace hashep::test {
namespace {

const RoutingTable kTable{3, 2, {0, 1, 2, 0, 3, 2}};
const std::vector<int64_t> kCounts = {5, 2, 1};

TEST_CASE("a table's loads are the counts of the ids that name an expert") {
  CHECK(table_loads(kTable, kCounts, 5) == std::vector<int64_t>{7, 5, 3, 1, 0});
  CHECK_THROWS_AS(table_loads(kTable, std::vector<int64_t>{5, 2}, 4), RunError);
}

TEST_CASE("load factors of a table are those of its experts and of the ranks that own them") {
  // Loads 7, 5, 3, 1; ranks {0, 3} and {1, 2}: 8 and 8.
  const LoadFactors crossed = table_load_factors(kTable, kCounts, Placement({0, 1, 1, 0}, 2));
  CHECK(crossed.expert_max_over_mean == Approx(7.0 / 4.0));
  CHECK(crossed.rank_max_over_mean == Approx(1.0));
  const LoadFactors contiguous = table_load_factors(kTable, kCounts, contiguous_placement(4, 2));
  CHECK(contiguous.rank_max_over_mean == Approx(12.0 / 8.0));
}

TEST_CASE("the bound is the share of the heaviest id, as few of its choices to a part as can be") {
  CHECK(load_bound(kCounts, 4, 2) == Approx(5.0 / 8.0 * 4.0 / 2.0));
  CHECK(load_bound(kCounts, 4, 1) == Approx(5.0 / 8.0 * 4.0));
  CHECK(load_bound(kCounts, 2, 3) == 1.0);
  CHECK(load_bound(std::vector<int64_t>{9, 1}, 2, 3) == Approx(0.9 * 2.0 * 2.0 / 3.0));
  CHECK(load_bound(std::vector<int64_t>{1, 1, 1}, 2, 2) == 1.0);
  CHECK(load_bound(std::vector<int64_t>{0, 0}, 64, 1) == 1.0);
}

TEST_CASE("ranks without experts are part of the mean that others are above") {
  CHECK(rank_load_bound(kCounts, contiguous_placement(4, 4), 2) == load_bound(kCounts, 4, 2));
  CHECK(rank_load_bound(kCounts, contiguous_placement(4, 10), 2) ==
        Approx(5.0 / 8.0 * 4.0 / 2.0 * 10.0 / 4.0));
  CHECK(rank_load_bound(kCounts, Placement({2, 2, 0}, 3), 3) == Approx(3.0 / 2.0));
  CHECK(rank_load_bound(std::vector<int64_t>{0, 0}, contiguous_placement(1, 2), 1) == 1.0);
}

}  // namespace
}  // namespace hashep::test
