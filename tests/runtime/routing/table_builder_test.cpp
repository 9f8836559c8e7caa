// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <numeric>
#include <random>

#include "core/error.hpp"
#include "runtime/routing/routing_table.hpp"
#include "tests/support/catch.hpp"

namespace hashep::test {
namespace {

std::vector<int64_t> expert_loads(const RoutingTable& table, const std::vector<int64_t>& counts,
                                  int64_t num_experts) {
  std::vector<int64_t> loads(static_cast<size_t>(num_experts));
  for (size_t i = 0; i < table.experts.size(); ++i) {
    loads[static_cast<size_t>(table.experts[i])] += counts[i / static_cast<size_t>(table.top_k)];
  }
  return loads;
}

/// The documented greedy rule, read literally.
RoutingTable naive_balanced(const std::vector<int64_t>& counts, int64_t num_experts, int top_k) {
  RoutingTable table{std::ssize(counts), top_k, {}};
  table.experts.resize(counts.size() * static_cast<size_t>(top_k));
  std::vector<int64_t> loads(static_cast<size_t>(num_experts));
  std::vector<bool> placed(counts.size());
  for (size_t turn = 0; turn < counts.size(); ++turn) {
    size_t id = counts.size();
    for (size_t v = 0; v < counts.size(); ++v) {
      if (!placed[v] && (id == counts.size() || counts[v] > counts[id])) id = v;
    }
    placed[id] = true;
    std::vector<int32_t> experts(loads.size());
    std::iota(experts.begin(), experts.end(), 0);
    std::stable_sort(experts.begin(), experts.end(), [&](int32_t a, int32_t b) {
      return loads[static_cast<size_t>(a)] < loads[static_cast<size_t>(b)];
    });
    for (size_t choice = 0; choice < static_cast<size_t>(top_k); ++choice) {
      table.experts[id * static_cast<size_t>(top_k) + choice] = experts[choice];
      loads[static_cast<size_t>(experts[choice])] += counts[id];
    }
  }
  return table;
}

TEST_CASE("the balanced table follows the greedy rule to the letter") {
  std::mt19937_64 random(4);
  for (int round = 0; round < 60; ++round) {
    const auto num_experts = static_cast<int64_t>(1 + random() % 12);
    const auto top_k = static_cast<int>(1 + random() % num_experts);
    std::vector<int64_t> counts(1 + random() % 60);
    for (int64_t& count : counts) count = static_cast<int64_t>(random() % 8);  // many ties, zeros
    CAPTURE(round, num_experts, top_k);
    const RoutingTable table = build_balanced_table(counts, num_experts, top_k);
    CHECK(table == naive_balanced(counts, num_experts, top_k));
    validate_table(table, num_experts, "balanced");
  }
}

TEST_CASE("the balanced table of Zipf counts comes within one token of the bound") {
  constexpr int64_t kExperts = 64;
  constexpr int64_t kVocab = 20000;
  std::vector<int64_t> counts(kVocab);
  for (int64_t id = 0; id < kVocab; ++id) {
    counts[static_cast<size_t>((id * 7919) % kVocab)] = 1000000 / (id + 1);
  }
  const int64_t total = std::accumulate(counts.begin(), counts.end(), int64_t{0});
  for (const int top_k : {1, 6}) {
    const auto loads =
        expert_loads(build_balanced_table(counts, kExperts, top_k), counts, kExperts);
    CHECK(std::accumulate(loads.begin(), loads.end(), int64_t{0}) == total * top_k);
    // No table can do better than the heaviest token or the mean.
    const int64_t bound = std::max<int64_t>(1000000, total * top_k / kExperts);
    const int64_t load = *std::max_element(loads.begin(), loads.end());
    CAPTURE(top_k);
    CHECK(load >= bound);
    CHECK(load <= bound + bound / 100);

    const auto random = build_random_table(kVocab, kExperts, top_k, 1);
    const auto random_loads = expert_loads(random, counts, kExperts);
    CHECK(load < *std::max_element(random_loads.begin(), random_loads.end()));
  }
}

TEST_CASE("a balanced table refuses negative counts and impossible sizes") {
  CHECK_THROWS_WITH(build_balanced_table(std::vector<int64_t>{1, -2}, 4, 1),
                    "balanced table: id 1 has a negative count, -2");
  CHECK_THROWS_AS(build_balanced_table(std::vector<int64_t>{1}, 4, 5), InputError);
  CHECK_THROWS_AS(build_balanced_table({}, 4, 1), InputError);
}

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
        ++uses[static_cast<size_t>(
            table.experts[row * static_cast<size_t>(top_k) + static_cast<size_t>(choice)])];
      }
      CAPTURE(top_k, choice, uses);
      CHECK(std::all_of(uses.begin(), uses.end(), [](int n) { return n > 850 && n < 1150; }));
    }
  }
  CHECK_THROWS_AS(build_random_table(10, 4, 5, 0), InputError);
}

}  // namespace
}  // namespace hashep::test
