// SPDX-License-Identifier: Apache-2.0
#include <xxhash.h>

#include <algorithm>
#include <map>
#include <set>

#include "benchmarks/workloads/workload_counts.hpp"
#include "benchmarks/workloads/workload_stream.hpp"
#include "hashep/placement.hpp"
#include "tests/benchmarks/workload_cases.hpp"
#include "tests/benchmarks/workload_known_answers.hpp"
#include "tests/support/catch.hpp"

using namespace hashep;
using bench::WorkloadKind;
using test::WorkloadCase;

namespace {

uint64_t digest(const std::vector<int32_t>& values) {
  return XXH64(values.data(), values.size() * sizeof values[0], 0);
}

struct Sizes {
  int ep_size;
  int64_t tokens_per_rank;
  int64_t num_experts;
  int64_t top_k;
};

// One rank, odd sizes, more experts for a token than a rank has, more ranks than experts.
const std::vector<Sizes> kSizes = {{1, 50, 8, 1},  {2, 64, 16, 6}, {3, 37, 10, 2}, {4, 16, 6, 2},
                                   {8, 20, 12, 4}, {5, 33, 3, 1},  {16, 9, 64, 6}, {7, 1, 7, 3}};

WorkloadCase make_case(const std::string& name, const Sizes& sizes) {
  return test::workload_case({.name = name,
                              .num_layers = 2,
                              .num_experts = sizes.num_experts,
                              .top_k = sizes.top_k,
                              .seed = 5},
                             sizes.ep_size, sizes.tokens_per_rank);
}

int64_t sum(const std::vector<int64_t>& values) {
  int64_t total = 0;
  for (const int64_t value : values) total += value;
  return total;
}

/// Whether values share `total` evenly, give or take one.
void check_even(const std::vector<int64_t>& values, int64_t total) {
  const auto count = static_cast<int64_t>(values.size());
  for (const int64_t value : values) {
    CHECK(value >= total / count);
    CHECK(value <= (total + count - 1) / count);
  }
  CHECK(sum(values) == total);
}

int64_t real_tokens(const WorkloadCase& c, int64_t step, int rank) {
  const StreamBatch batch = c.batch(step, rank);
  return std::count_if(batch.ids.begin(), batch.ids.end(), [](int32_t id) { return id >= 0; });
}

/// check(case, sizes, step, layer) for all sizes, some steps and two layers.
template <typename Check>
void for_each_batch(const std::string& name, Check&& check) {
  for (const Sizes& sizes : kSizes) {
    INFO(name << ": " << sizes.ep_size << " ranks, " << sizes.tokens_per_rank << " tokens, "
              << sizes.num_experts << " experts, top " << sizes.top_k);
    const WorkloadCase c = make_case(name, sizes);
    for (const int64_t step : {0, 1, 2, 3, 4, 1000}) {
      for (const int64_t layer : {0, 1}) check(c, sizes, step, layer);
    }
  }
}

}  // namespace

TEST_CASE("ids and tables are those of the definition") {
  for (const test::WorkloadKnownAnswer& known : test::workload_known_answers()) {
    INFO(bench::workload_name(known.shape.kind) << ", " << known.shape.ep_size << " ranks");
    const bench::WorkloadRules rules(known.shape);
    std::vector<int32_t> ids(5 * known.shape.ep_size * known.shape.tokens_per_rank);
    bench::make_workload_stream(rules)->read(0, ids);
    CHECK(digest(ids) == known.ids);
    std::vector<int32_t> tables;
    for (const int64_t layer : {0, 1}) {
      const RoutingTable table = bench::workload_table(rules, layer);
      validate_table(table, known.shape.num_experts, "layer");
      tables.insert(tables.end(), table.experts.begin(), table.experts.end());
    }
    CHECK(digest(tables) == known.tables);
  }
}

TEST_CASE("each rank's counts are those that the rules foretell") {
  for (const char* name : {"W0", "W1", "W2", "W3", "W4", "W5", "W6"}) {
    for_each_batch(
        name, [](const WorkloadCase& c, const Sizes& sizes, int64_t step, int64_t layer) {
          const bench::WorkloadRules rules =
              bench::workload_rules(c.options, sizes.ep_size, sizes.tokens_per_rank);
          for (int rank = 0; rank < sizes.ep_size; ++rank) {
            CHECK(c.counts(step, rank, layer) == bench::expected_counts(rules, step, rank, layer));
          }
        });
  }
}

TEST_CASE("balanced: all experts have their fair share, give or take one") {
  for_each_batch(
      "balanced", [](const WorkloadCase& c, const Sizes& sizes, int64_t step, int64_t layer) {
        check_even(c.counts(step, layer), sizes.ep_size * sizes.tokens_per_rank * sizes.top_k);
      });
}

TEST_CASE("hot-experts: half of the tokens go to every eighth expert") {
  for_each_batch(
      "hot-experts", [](const WorkloadCase& c, const Sizes& sizes, int64_t step, int64_t layer) {
        const int64_t num_hot = std::max(sizes.top_k, (sizes.num_experts + 7) / 8);
        const int64_t hot_rows = sizes.ep_size * (sizes.tokens_per_rank / 2) * sizes.top_k;
        const int64_t rows = sizes.ep_size * sizes.tokens_per_rank * sizes.top_k;
        std::set<int64_t> hot;
        for (int64_t i = 0; i < num_hot; ++i) {
          hot.insert((i * sizes.num_experts / num_hot + layer) % sizes.num_experts);
        }
        REQUIRE(static_cast<int64_t>(hot.size()) == num_hot);
        const std::vector<int64_t> counts = c.counts(step, layer);
        CHECK(sum(counts) == rows);
        for (int64_t expert = 0; expert < sizes.num_experts; ++expert) {
          const int64_t count = counts[expert];
          const bool is_hot = hot.contains(expert);
          const int64_t least =
              (rows - hot_rows) / sizes.num_experts + (is_hot ? hot_rows / num_hot : 0);
          CHECK(count >= least);
          CHECK(count <= least + (is_hot ? 2 : 1));
        }
      });
  // The usual case: one eighth of the experts, spread over all ranks, each 4.5 times the mean.
  const WorkloadCase c = make_case("W1", {8, 1024, 64, 2});
  const std::vector<int64_t> counts = c.counts(0, 0);
  for (size_t expert = 0; expert < 64; ++expert) {
    CHECK(counts[expert] == (expert % 8 == 0 ? 1152 : 128));
  }
}

TEST_CASE("hot-rank: one rank has 4R / (R + 3) times the mean") {
  for (const int ep_size : {2, 4, 8, 13}) {
    const int64_t num_experts = 4 * ep_size;
    const int64_t tokens = 16 * (ep_size + 3);
    const WorkloadCase c = make_case("hot-rank", {ep_size, tokens, num_experts, 2});
    const std::vector<int64_t> counts = c.counts(1, 1);
    const Placement placement = contiguous_placement(num_experts, ep_size);
    const int hot = placement.rank_of(num_experts / 2);
    for (int rank = 0; rank < ep_size; ++rank) {
      int64_t rows = 0;
      for (const int32_t expert : placement.local_experts(rank)) {
        rows += counts[expert];
      }
      CHECK(rows == 2 * 16 * ep_size * (rank == hot ? 4 : 1));
    }
  }
  // With fewer experts than choices it gets what a token can give it.
  const WorkloadCase narrow = make_case("hot-rank", {8, 88, 8, 3});
  CHECK(narrow.counts(0, 0)[4] == 8 * (24 + 64 * 3 / 8));
}

TEST_CASE("ragged-source: ranks hold from none to all of their tokens, each in its turn") {
  for_each_batch("ragged-source", [](const WorkloadCase& c, const Sizes& sizes, int64_t step,
                                     int64_t layer) {
    const int64_t ranks = sizes.ep_size;
    std::multiset<int64_t> want;
    std::multiset<int64_t> got;
    for (int rank = 0; rank < ranks; ++rank) {
      want.insert(ranks == 1 ? sizes.tokens_per_rank : sizes.tokens_per_rank * rank / (ranks - 1));
      got.insert(real_tokens(c, step, rank));
    }
    CHECK(got == want);
    int64_t all = 0;
    for (const int64_t tokens : want) all += tokens;
    check_even(c.counts(step, layer), all * sizes.top_k);
  });
  const WorkloadCase c = make_case("ragged-source", {4, 12, 8, 1});
  for (int rank = 0; rank < 4; ++rank) {
    std::set<int64_t> held;
    for (int64_t step = 0; step < 4; ++step) held.insert(real_tokens(c, step, rank));
    CHECK(held == std::set<int64_t>{0, 4, 8, 12});
  }
}

TEST_CASE("zero-load: odd ranks receive nothing, the others' experts share all rows evenly") {
  for_each_batch(
      "zero-load", [](const WorkloadCase& c, const Sizes& sizes, int64_t step, int64_t layer) {
        const Placement placement = contiguous_placement(sizes.num_experts, sizes.ep_size);
        const std::vector<int64_t> counts = c.counts(step, layer);
        std::vector<int64_t> loaded;
        for (int64_t expert = 0; expert < sizes.num_experts; ++expert) {
          const int64_t count = counts[expert];
          if (placement.rank_of(expert) % 2 == 0) {
            loaded.push_back(count);
          } else {
            CHECK(count == 0);
          }
        }
        check_even(loaded, sizes.ep_size * sizes.tokens_per_rank * sizes.top_k);
      });
}

TEST_CASE("rotating: the hot experts are others in each step, and each is hot in its turn") {
  const WorkloadCase c = make_case("rotating", {4, 60, 16, 2});
  const int64_t hot_tokens = 60 * 14 / 30 * 4;
  const int64_t others = (240 - hot_tokens) * 2 / 16;
  for (const int64_t layer : {0, 1}) {
    std::map<size_t, int> times_hot;
    for (int64_t step = 0; step < 8; ++step) {
      const std::vector<int64_t> counts = c.counts(step, layer);
      for (size_t expert = 0; expert < counts.size(); ++expert) {
        const bool is_hot = counts[expert] > hot_tokens;
        if (is_hot) ++times_hot[expert];
        CHECK(counts[expert] == others + (is_hot ? hot_tokens : 0));
      }
    }
    CHECK(times_hot.size() == 16);
    for (const auto& [expert, times] : times_hot) CHECK(times == 1);
  }
}

TEST_CASE("burst: every fourth batch is full, the others hold an eighth; experts share evenly") {
  for_each_batch(
      "burst", [](const WorkloadCase& c, const Sizes& sizes, int64_t step, int64_t layer) {
        const int64_t tokens = step % 4 == 0 ? sizes.tokens_per_rank : sizes.tokens_per_rank / 8;
        for (int rank = 0; rank < sizes.ep_size; ++rank)
          CHECK(real_tokens(c, step, rank) == tokens);
        check_even(c.counts(step, layer), sizes.ep_size * tokens * sizes.top_k);
      });
}
