// SPDX-License-Identifier: Apache-2.0
#include "comm/plan/placement.hpp"

#include <algorithm>
#include <random>
#include <sstream>

#include "comm/plan/plan_stats.hpp"
#include "core/error.hpp"
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

TEST_CASE("a placement names an expert on a rank that is not there") {
  CHECK_THROWS_WITH(Placement({0, 3}, 2), ContainsSubstring("expert 1 is on rank 3"));
  CHECK_THROWS_AS(Placement({}, 0), InputError);
}

TEST_CASE("a placement prints its ranks' experts") {
  std::ostringstream text;
  text << contiguous_placement(3, 2);
  CHECK(text.str() == "rank 0: 0\nrank 1: 1 2\n");
}
