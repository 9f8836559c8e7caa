// SPDX-License-Identifier: Apache-2.0
#include "hashep/placement.hpp"

#include <algorithm>
#include <random>
#include <sstream>

#include "comm/plan/plan_stats.hpp"
#include "hashep/error.hpp"
#include "tests/support/catch.hpp"

using namespace hashep;

TEST_CASE("contiguous placement deals experts in ranges that differ by at most one") {
  const Placement placement = contiguous_placement(10, 4);
  CHECK(std::vector<int32_t>(placement.ranks().begin(), placement.ranks().end()) ==
        std::vector<int32_t>{0, 0, 1, 1, 1, 2, 2, 3, 3, 3});
  CHECK(placement.local_experts(1).size() == 3);
  CHECK(placement.local_experts(1)[0] == 2);
}

TEST_CASE("with fewer experts than ranks some ranks own none") {
  const Placement placement = contiguous_placement(2, 5);
  int owners = 0;
  for (int rank = 0; rank < 5; ++rank) owners += placement.local_experts(rank).empty() ? 0 : 1;
  CHECK(owners == 2);
}

TEST_CASE("balanced placement evens load and keeps numbers of experts even") {
  std::mt19937 random(7);
  for (int round = 0; round < 50; ++round) {
    const auto num_experts = static_cast<int64_t>(1 + random() % 70);
    const int ep_size = static_cast<int>(1 + random() % 9);
    std::vector<int64_t> loads;
    for (int64_t e = 0; e < num_experts; ++e) loads.push_back(random() % 1000 / (1 + random() % 9));
    const Placement balanced = balanced_placement(loads, ep_size);
    int64_t total = 0;
    for (int rank = 0; rank < ep_size; ++rank) {
      const auto local = balanced.local_experts(rank);
      total += static_cast<int64_t>(local.size());
      CHECK(local.size() >= static_cast<size_t>(num_experts / ep_size));
      CHECK(local.size() <= static_cast<size_t>((num_experts + ep_size - 1) / ep_size));
      CHECK(std::is_sorted(local.begin(), local.end()));
    }
    CHECK(total == num_experts);
    CHECK(balanced == balanced_placement(loads, ep_size));
  }
}

TEST_CASE("balanced placement beats contiguous where the hot experts are neighbours") {
  const std::vector<int64_t> loads = {90, 80, 70, 60, 4, 3, 2, 1};
  const double contiguous = load_factors(loads, contiguous_placement(8, 4)).rank_max_over_mean;
  const double balanced = load_factors(loads, balanced_placement(loads, 4)).rank_max_over_mean;
  CHECK(contiguous > 2.1);
  CHECK(balanced < 1.19);
}

namespace {

std::vector<int64_t> rank_loads(std::span<const int64_t> loads, const Placement& placement) {
  std::vector<int64_t> sums(placement.ep_size());
  for (size_t e = 0; e < loads.size(); ++e) {
    sums[placement.rank_of(static_cast<int64_t>(e))] += loads[e];
  }
  return sums;
}

}  // namespace

TEST_CASE("in a balanced placement no swap with the fullest rank evens loads further") {
  std::mt19937 random(11);
  int64_t swaps_tried = 0;
  for (int round = 0; round < 100; ++round) {
    const auto num_experts = static_cast<int64_t>(2 + random() % 30);
    const int ep_size = static_cast<int>(2 + random() % 5);
    std::vector<int64_t> loads;
    for (int64_t e = 0; e < num_experts; ++e) loads.push_back(random() % 200);
    const Placement placement = balanced_placement(loads, ep_size);
    const auto sums = rank_loads(loads, placement);
    const auto fullest =
        static_cast<int>(std::max_element(sums.begin(), sums.end()) - sums.begin());
    const int64_t most = sums[fullest];
    for (const int32_t a : placement.local_experts(fullest)) {
      for (int32_t b = 0; b < num_experts; ++b) {
        const int other = placement.rank_of(b);
        if (other == fullest) continue;
        const int64_t moved = loads[a] - loads[b];
        const int64_t larger = std::max(most - moved, sums[other] + moved);
        // Other ranks may be as full: then the fullest pair stays as it is.
        CHECK(larger >= most);
        ++swaps_tried;
      }
    }
  }
  CHECK(swaps_tried > 1000);
}

TEST_CASE("swaps mend what longest processing time first leaves uneven") {
  // In order of load: 36 26 23 | 35 33 15, which is 85 | 83; 36 and 35 change places.
  const std::vector<int64_t> loads = {36, 35, 33, 26, 23, 15};
  const auto sums = rank_loads(loads, balanced_placement(loads, 2));
  CHECK(sums == std::vector<int64_t>{84, 84});
}

TEST_CASE("a balanced placement evens nodes as well") {
  const NodeMap nodes = nodes_of_equal_size(4, 2);
  const std::vector<int64_t> loads = {10, 9, 2, 1};
  const Placement placement = balanced_placement(loads, nodes);
  CHECK(node_load_factor(loads, placement, nodes) == 1.0);
  CHECK(node_load_factor(loads, balanced_placement(loads, 4), nodes) > 1.7);
  std::mt19937 random(5);
  for (int round = 0; round < 40; ++round) {
    const int ep_size = static_cast<int>(2 + random() % 14);
    const auto num_experts = static_cast<int64_t>(1 + random() % 60);
    std::vector<int64_t> drawn;
    for (int64_t e = 0; e < num_experts; ++e) drawn.push_back(random() % 1000);
    const NodeMap some = nodes_of_equal_size(ep_size, 1 + random() % 4);
    const Placement by_nodes = balanced_placement(drawn, some);
    auto with = rank_loads(drawn, by_nodes);
    auto without = rank_loads(drawn, balanced_placement(drawn, ep_size));
    std::sort(with.begin(), with.end());
    std::sort(without.begin(), without.end());
    CHECK(with == without);  // ranks are as even as on one node
  }
}

TEST_CASE("nodes of equal size: the last has what is left") {
  const NodeMap nodes = nodes_of_equal_size(7, 3);
  CHECK(nodes.num_nodes() == 3);
  CHECK(nodes.ranks_of(2).size() == 1);
  CHECK(nodes.node_of(5) == 1);
  CHECK(nodes_of_equal_size(3, 8).num_nodes() == 1);
  CHECK_THROWS_AS(nodes_of_equal_size(3, 0), InputError);
}

TEST_CASE("a placement names an expert on a rank that is not there") {
  CHECK_THROWS_WITH(Placement({0, 3}, 2), ContainsSubstring("expert 1 is on rank 3"));
  CHECK_THROWS_AS(Placement({}, 0), InputError);
}

TEST_CASE("a placement prints its ranks' experts") {
  std::ostringstream text;
  text << contiguous_placement(3, 2);
  CHECK(text.str() == "rank 0: 0\nrank 1: 1 2\n");
}
