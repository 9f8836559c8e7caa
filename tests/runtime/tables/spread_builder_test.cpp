// SPDX-License-Identifier: Apache-2.0
#include "runtime/tables/spread_builder.hpp"

#include <algorithm>
#include <limits>
#include <numeric>
#include <random>

#include "hashep/error.hpp"
#include "hashep/table_router.hpp"
#include "runtime/routing/table_builder.hpp"
#include "runtime/tables/table_loads.hpp"
#include "runtime/tables/targeted_table.hpp"
#include "runtime/tokens/token_stream.hpp"
#include "tests/support/catch.hpp"

namespace hashep::test {
namespace {

TEST_CASE("hot ids get as many rows as bring each down to the limit") {
  std::mt19937_64 random(11);
  int64_t num_spread = 0;
  for (int round = 0; round < 50; ++round) {
    const auto vocab_size = static_cast<int64_t>(1 + random() % 200);
    const auto num_experts = static_cast<int64_t>(8 + random() % 64);
    const auto top_k = static_cast<int>(1 + random() % 4);
    const double limit = round % 3 == 0 ? 1.0 : round % 3 == 1 ? 0.3 : 2.5;
    std::vector<int64_t> counts(vocab_size);
    for (int64_t& count : counts) {
      count = static_cast<int64_t>(random() % 1000 / (1 + random() % 300));
    }
    const SpreadCounts spread = spread_counts(counts, num_experts, top_k, limit);
    const auto total = std::accumulate(counts.begin(), counts.end(), int64_t{0});
    const double most =
        limit * static_cast<double>(total * top_k) / static_cast<double>(num_experts);

    REQUIRE(spread.vocab_size == vocab_size);
    CHECK(std::accumulate(spread.counts.begin(), spread.counts.end(), int64_t{0}) == total);
    CHECK(static_cast<double>(*std::max_element(spread.counts.begin(), spread.counts.end())) <
          most + 1.0);
    for (size_t id = 0; id < counts.size(); ++id) {
      const auto place = std::lower_bound(spread.ids.begin(), spread.ids.end(), id);
      const bool is_spread = place != spread.ids.end() && *place == static_cast<int32_t>(id);
      CHECK(is_spread == (static_cast<double>(counts[id]) > most));
      if (!is_spread) {
        CHECK(spread.counts[id] == counts[id]);
        continue;
      }
      ++num_spread;
      const auto i = static_cast<size_t>(place - spread.ids.begin());
      const auto num_rows = static_cast<double>(spread.offsets[i + 1] - spread.offsets[i]);
      CHECK(num_rows * most >= static_cast<double>(counts[id]));
      CHECK((num_rows - 1) * most < static_cast<double>(counts[id]));
    }

    const RoutingTable built =
        build_random_table(std::ssize(spread.counts), num_experts, top_k, random());
    const RoutingTable table = fold_spread_rows(built, spread);
    validate_table(table, num_experts, "folded");
    CHECK(table.spread->ids == spread.ids);
    CHECK(table_loads(table, counts, num_experts) ==
          table_loads(built, spread.counts, num_experts));
  }
  CHECK(num_spread > 100);
}

TEST_CASE("no limit, no spread rows: limits that are none are refused") {
  const std::vector<int64_t> counts = {5, 5, 5, 5};
  CHECK(spread_counts(counts, 4, 1, 1.0).ids.empty());
  CHECK(spread_counts(std::vector<int64_t>(3), 4, 1, 1.0).ids.empty());
  for (const double limit : {0.0, -1.0, 0.01, std::numeric_limits<double>::infinity(),
                             std::numeric_limits<double>::quiet_NaN()}) {
    CHECK_THROWS_AS(spread_counts(counts, 4, 1, limit), InputError);
  }
  const SpreadCounts spread = spread_counts(counts, 4, 1, 0.5);
  CHECK_THROWS_AS(fold_spread_rows(build_random_table(4, 4, 1, 0), spread), RunError);
}

TEST_CASE("spread rows bring the experts' load below what any table without them can reach") {
  constexpr int64_t kVocab = 1000;
  constexpr int64_t kExperts = 64;
  constexpr int64_t kTokens = 1 << 18;
  const auto stream = make_zipf_stream(kVocab, 1.0, 3);
  const std::vector<int64_t> counts = count_ids(*stream, kVocab, kTokens);
  const double bound = load_bound(counts, kExperts, 1);
  CHECK(bound > 8.0);

  const SpreadCounts spread = spread_counts(counts, kExperts, 1, 0.5);
  RoutingTable table =
      fold_spread_rows(build_targeted_table(spread.counts, contiguous_placement(kExperts, 1), 1,
                                            BalanceTarget::expert, 0),
                       spread);
  StreamBatch batch;
  read_batch(*stream, {.batch_tokens = kTokens, .seq_len = 4096}, 0, batch);
  for (const uint64_t layer : {0u, 1u, 2u}) {
    table.spread->seed = layer;
    std::vector<int32_t> experts(batch.ids.size());
    TableRouter({table}, kExperts).route(batch.view(), {0, kExperts, 1}, experts);
    std::vector<int64_t> loads(kExperts);
    for (const int32_t expert : experts) ++loads[expert];
    CHECK(load_factor(loads) < 1.25);  // 1.07 when written
  }
}

}  // namespace
}  // namespace hashep::test
