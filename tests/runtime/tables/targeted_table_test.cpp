// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <random>
#include <set>

#include "hashep/error.hpp"
#include "runtime/routing/table_builder.hpp"
#include "runtime/tables/table_loads.hpp"
#include "runtime/tables/targeted_table.hpp"
#include "tests/support/catch.hpp"

namespace hashep::test {
namespace {

constexpr BalanceTarget kTargets[] = {BalanceTarget::expert, BalanceTarget::rank,
                                      BalanceTarget::both};

/// Zipf counts, ids in no order.
std::vector<int64_t> zipf_counts(int64_t vocab_size, int64_t heaviest) {
  std::vector<int64_t> counts(vocab_size);
  for (int64_t id = 0; id < vocab_size; ++id) {
    counts[(id * 7919) % vocab_size] = heaviest / (id + 1);
  }
  return counts;
}

/// Counts that are hard to deal: few ids, equal ones, zeros, one alone, huge ones.
std::vector<int64_t> hard_counts(std::mt19937_64& random) {
  std::vector<int64_t> counts(1 + random() % 40);
  const uint64_t kind = random() % 5;
  for (int64_t& count : counts) {
    if (kind == 0) count = 7;
    if (kind == 1) count = static_cast<int64_t>(random() % 4);
    if (kind == 2) count = static_cast<int64_t>(random() % (int64_t{1} << 40));
    if (kind == 3) count = static_cast<int64_t>(1000 / (1 + random() % 1000));
  }
  if (kind == 4) counts[random() % counts.size()] = 1 + static_cast<int64_t>(random() % 1000);
  return counts;
}

Placement random_placement(std::mt19937_64& random, int64_t num_experts, int ep_size) {
  if (random() % 2 == 0) return contiguous_placement(num_experts, ep_size);
  std::vector<int32_t> rank_of(num_experts);
  for (int32_t& rank : rank_of) rank = static_cast<int32_t>(random() % uint64_t(ep_size));
  return {std::move(rank_of), ep_size};
}

TEST_CASE("a targeted table is a valid one, never worse than the random one of its seed") {
  std::mt19937_64 random(41);
  for (int round = 0; round < 400; ++round) {
    const auto num_experts = static_cast<int64_t>(1 + random() % 20);
    const auto top_k = round % 5 == 0 ? static_cast<int>(num_experts)
                                      : static_cast<int>(1 + random() % num_experts);
    const int ep_size = static_cast<int>(1 + random() % 10);  // more ranks than experts, at times
    const Placement placement = random_placement(random, num_experts, ep_size);
    const std::vector<int64_t> counts = hard_counts(random);
    const uint64_t seed = random();
    const LoadFactors of_random = table_load_factors(
        build_random_table(std::ssize(counts), num_experts, top_k, seed), counts, placement);
    for (const BalanceTarget target : kTargets) {
      CAPTURE(round, num_experts, top_k, ep_size, counts, static_cast<int>(target));
      const RoutingTable table = build_targeted_table(counts, placement, top_k, target, seed);
      CHECK_NOTHROW(validate_table(table, num_experts, "targeted"));
      CHECK(table.vocab_size == std::ssize(counts));
      CHECK(table == build_targeted_table(counts, placement, top_k, target, seed));
      const LoadFactors factors = table_load_factors(table, counts, placement);
      if (target != BalanceTarget::rank) {
        CHECK(factors.expert_max_over_mean <= of_random.expert_max_over_mean);
        CHECK(factors.expert_max_over_mean >= load_bound(counts, num_experts, top_k) * (1 - 1e-9));
      }
      if (target != BalanceTarget::expert) {
        CHECK(factors.rank_max_over_mean <= of_random.rank_max_over_mean);
        CHECK(factors.rank_max_over_mean >= rank_load_bound(counts, placement, top_k) * (1 - 1e-9));
      }
    }
  }
}

TEST_CASE("one table brings experts to the bound and ranks to evenness on Zipf counts") {
  const auto counts = zipf_counts(20000, 1000000);
  for (const auto& [num_experts, top] : {std::pair(64, 1), std::pair(256, 6)}) {
    const int top_k = top;  // clang 14 captures no structured binding
    CAPTURE(num_experts, top_k);
    const Placement placement = contiguous_placement(num_experts, 8);
    const double bound = load_bound(counts, num_experts, top_k);
    REQUIRE(bound > 2.0);
    const auto factors_of = [&](BalanceTarget target) {
      return table_load_factors(build_targeted_table(counts, placement, top_k, target, 5), counts,
                                placement);
    };
    const LoadFactors both = factors_of(BalanceTarget::both);
    CHECK(both.expert_max_over_mean <= bound * 1.001);
    CHECK(both.rank_max_over_mean <= 1.001);
    CHECK(factors_of(BalanceTarget::rank).rank_max_over_mean <= 1.001);
    // Not so when experts alone are balanced: the rank of the heaviest id's expert has more.
    const LoadFactors expert = factors_of(BalanceTarget::expert);
    CHECK(expert.expert_max_over_mean <= bound * 1.001);
    CHECK(expert.rank_max_over_mean > both.rank_max_over_mean);
  }
}

TEST_CASE("the experts of a row stand on as many ranks as can be") {
  const auto counts = zipf_counts(3000, 5000);
  const Placement placement = contiguous_placement(24, 4);
  for (const int top_k : {2, 4, 6, 24}) {
    for (const BalanceTarget target : {BalanceTarget::rank, BalanceTarget::both}) {
      const RoutingTable table = build_targeted_table(counts, placement, top_k, target, 1);
      int64_t rows_amiss = 0;
      for (auto row = table.experts.begin(); row != table.experts.end(); row += top_k) {
        std::vector<int> of_rank(4);
        for (int j = 0; j < top_k; ++j) ++of_rank[placement.rank_of(row[j])];
        if (*std::max_element(of_rank.begin(), of_rank.end()) > (top_k + 3) / 4) ++rows_amiss;
      }
      CAPTURE(top_k);
      CHECK(rows_amiss == 0);
    }
  }
}

TEST_CASE("ids that never occurred are dealt evenly over experts and ranks") {
  std::mt19937_64 random(42);
  for (const auto& [seen, unseen, num_experts, top_k] :
       {std::array{2000, 8000, 32, 2}, {300, 45, 256, 1}, {100, 1500, 256, 6}, {0, 77, 8, 3}}) {
    auto counts = zipf_counts(seen, 100000);
    counts.resize(seen + unseen);
    std::shuffle(counts.begin(), counts.end(), random);
    std::vector<int64_t> never(counts.size());
    std::transform(counts.begin(), counts.end(), never.begin(),
                   [](int64_t count) { return count == 0 ? 1 : 0; });
    const Placement placement = contiguous_placement(num_experts, 4);
    for (const BalanceTarget target : kTargets) {
      const RoutingTable table = build_targeted_table(counts, placement, top_k, target, 9);
      const auto loads = table_loads(table, never, num_experts);
      CAPTURE(static_cast<int>(target), seen, num_experts, loads);
      const auto [least, most] = std::minmax_element(loads.begin(), loads.end());
      CHECK(*most - *least <= 1);
    }
  }
}

TEST_CASE("the seed makes other tables, of the same balance") {
  const auto counts = zipf_counts(20000, 1000000);
  const Placement placement = contiguous_placement(64, 8);
  const auto build = [&](uint64_t seed) {
    return build_targeted_table(counts, placement, 1, BalanceTarget::both, seed);
  };
  const RoutingTable first = build(1);
  const RoutingTable second = build(2);
  // Whether heavy ids keep company is no matter of names: count pairs that share an expert.
  const auto heavy_pairs = [&](const RoutingTable& table) {
    std::set<std::pair<size_t, size_t>> pairs;
    for (size_t a = 0; a < counts.size(); ++a) {
      if (counts[a] < 2000) continue;
      for (size_t b = a + 1; b < counts.size(); ++b) {
        if (counts[b] >= 2000 && table.experts[a] == table.experts[b]) pairs.emplace(a, b);
      }
    }
    return pairs;
  };
  const auto pairs = heavy_pairs(first);
  REQUIRE(pairs.size() > 100);
  const auto others = heavy_pairs(second);
  const auto shared = std::count_if(pairs.begin(), pairs.end(),
                                    [&](const auto& pair) { return others.contains(pair); });
  CHECK(shared < std::ssize(pairs) / 4);
  CHECK(table_load_factors(second, counts, placement).rank_max_over_mean <= 1.001);
}

TEST_CASE("a targeted table refuses negative counts and impossible sizes") {
  const Placement placement = contiguous_placement(4, 2);
  const auto build = [&](const std::vector<int64_t>& counts, int top_k) {
    return build_targeted_table(counts, placement, top_k, BalanceTarget::both, 0);
  };
  CHECK_THROWS_WITH(build({1, -2}, 1), "balanced table: id 1 has a negative count, -2");
  CHECK_THROWS_AS(build({1}, 5), InputError);
  CHECK_THROWS_AS(build({1}, 0), InputError);
  CHECK_THROWS_AS(build({}, 1), InputError);
}

}  // namespace
}  // namespace hashep::test
