// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/dry_run.hpp"

#include <algorithm>

#include "comm/plan/plan_stats.hpp"
#include "hashep/error.hpp"
#include "runtime/layer/planning_options.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/stack_case.hpp"

using namespace hashep;

namespace {

constexpr int64_t kRowBytes = 24;
constexpr int kPlanDepth = 1;

/// What the plans of all ranks say of some steps.
struct Planned {
  int64_t rows_intra = 0;
  int64_t rows_inter = 0;
  int64_t rows_inter_dedup = 0;
  int64_t plan_bytes_max = 0;
  int64_t tape_bytes_max = 0;
  std::vector<int64_t> rank_rows;  // of all layers and steps
};

/// A rank's own words, and its part of the matrix and flags that its node shares.
int64_t exchange_bytes(const NodeMap& nodes, int rank, int64_t batch_words) {
  const int64_t row_bytes = (1 + batch_words) * 4;
  const int64_t sharers = std::ssize(nodes.ranks_of(nodes.node_of(rank)));
  return row_bytes + (nodes.ep_size() * row_bytes + sharers * 128 + sharers - 1) / sharers;
}

void add_plans(const std::vector<ExchangePlan>& layers, const NodeMap& nodes, int64_t batch_words,
               Planned& planned) {
  int64_t bytes = 0;
  for (const ExchangePlan& plan : layers) {
    bytes += plan_bytes(plan);
    planned.rank_rows[plan.ep_rank] += plan.total_recv();
    for (int rank = 0; rank < plan.ep_size; ++rank) {
      if (rank == plan.ep_rank) continue;
      const bool near = nodes.node_of(rank) == nodes.node_of(plan.ep_rank);
      (near ? planned.rows_intra : planned.rows_inter) += plan.send_counts[rank];
    }
    for (const auto& out : plan.across.outgoing) planned.rows_inter_dedup += out.num_rows();
  }
  const int64_t exchange = exchange_bytes(nodes, layers.front().ep_rank, batch_words);
  planned.plan_bytes_max = std::max(planned.plan_bytes_max, (kPlanDepth + 1) * bytes + exchange);
}

Planned plan_all_ranks(const test::CaseRouting& routing, const TokenStream& stream,
                       const test::StackCase& c, const NodeMap& nodes, int64_t steps) {
  const int ep_size = nodes.ep_size();
  Planned planned;
  planned.rank_rows.resize(ep_size);
  for (int64_t step = 0; step < steps; ++step) {
    std::vector<StreamBatch> batches(ep_size);
    std::vector<TokenBatch> views;
    for (int rank = 0; rank < ep_size; ++rank) {
      read_batch(stream,
                 {.batch_tokens = c.batch_tokens,
                  .seq_len = c.seq_len,
                  .ep_size = ep_size,
                  .ep_rank = rank},
                 step, batches[rank]);
      views.push_back(batches[rank].view());
    }
    for (int rank = 0; rank < ep_size; ++rank) {
      const BatchPlan plan = plan_batch(routing.geometry, *routing.router, views, rank);
      add_plans(plan.layers, nodes, routing.geometry.batch_words(), planned);
      planned.tape_bytes_max =
          std::max(planned.tape_bytes_max, batch_tape_bytes(c.config, c.dtype, false, plan));
    }
  }
  return planned;
}

}  // namespace

TEST_CASE("a dry run says what the plans of all ranks say, for any number of threads") {
  const int64_t steps = 3;
  int64_t inter = 0;
  for (const test::StackCase& c : test::stack_cases()) {
    for (const auto& [ep_size, ranks_per_node] :
         {std::pair{1, 1}, {4, 4}, {5, 2}, {7, 1}, {16, 4}}) {
      INFO(c.name() << ", " << ep_size << " ranks, " << ranks_per_node << " a node");
      const NodeMap nodes = nodes_of_equal_size(ep_size, ranks_per_node);
      const auto stream = test::stack_stream(c);
      const test::CaseRouting routing = test::stack_routing(c, *stream, {nodes});
      const Planned planned = plan_all_ranks(routing, *stream, c, nodes, steps);
      DryRunOptions options{.batch_tokens = c.batch_tokens,
                            .seq_len = c.seq_len,
                            .steps = steps,
                            .row_bytes = kRowBytes,
                            .plan_depth = kPlanDepth,
                            .traffic = TrafficUnit::node,
                            .tape = TapeSizes(c.config, c.dtype, false)};
      const DryRunResult result = dry_run(routing.geometry, *routing.router, *stream, options);
      CHECK(result.bytes_intra == planned.rows_intra * kRowBytes / steps);
      CHECK(result.bytes_inter == planned.rows_inter * kRowBytes / steps);
      CHECK(result.bytes_inter_dedup == planned.rows_inter_dedup * kRowBytes / steps);
      CHECK(result.plan_bytes_max == planned.plan_bytes_max);
      CHECK(result.tape_bytes_max == planned.tape_bytes_max);
      const int64_t row_bytes = (1 + routing.geometry.batch_words()) * 4;
      const int64_t sharers = std::min(ranks_per_node, ep_size);  // of the first node, the largest
      CHECK(result.counts_bytes_node_max == (ep_size + sharers) * row_bytes + sharers * 128);
      CHECK(result.rank_max_over_mean >= load_factor(planned.rank_rows));
      CHECK(result.expert_max_over_mean >= 1.0);
      CHECK(result.node_max_over_mean <= result.rank_max_over_mean + 1e-12);
      CHECK(result.buffer_bytes_max > 0);
      options.threads = 3;
      const DryRunResult again = dry_run(routing.geometry, *routing.router, *stream, options);
      CHECK(again.traffic == result.traffic);
      CHECK(again.bytes_inter_dedup == result.bytes_inter_dedup);
      CHECK(again.buffer_bytes_max == result.buffer_bytes_max);
      CHECK(again.expert_max_over_mean == result.expert_max_over_mean);
      inter += result.bytes_inter;
    }
  }
  CHECK(inter > 10000);
}

TEST_CASE("a node of 512 holds the counts of 4,096 ranks once, in 40 MB, not 1.2 GB") {
  const StackGeometry geometry(std::vector(3, contiguous_placement(256, 4096)), 6,
                               nodes_of_equal_size(4096, 8));
  const int64_t words = kStatusWords + geometry.batch_words();
  CHECK(words == 2 + 3 * (256 + 512));
  constexpr int64_t kRanksOfNode = 8;
  const PlanningOptions options{.depth = kPlanDepth};
  const int64_t node_bytes =
      planning_node_bytes(geometry.batch_words(), 4096, kRanksOfNode, options);
  CHECK(node_bytes == 4096 * words * 4 + kRanksOfNode * 128);
  const int64_t of_all =
      kRanksOfNode * planning_buffer_bytes(geometry.batch_words(), 4096, kRanksOfNode, options);
  CHECK(of_all >= node_bytes + kRanksOfNode * words * 4);
  CHECK(of_all <= 40'000'000);
  // Each batch more that is under way is one matrix more.
  CHECK(planning_node_bytes(geometry.batch_words(), 4096, kRanksOfNode, {.depth = 3}) ==
        3 * node_bytes);
}

TEST_CASE("a dry run names the first id out of range, for any number of threads") {
  test::StackCase c = test::stack_cases().front();
  const auto stream = test::stack_stream(c);
  c.config.vocab_size = 2;  // the stream draws from 300
  const test::CaseRouting routing = test::stack_routing(c, *stream, {nodes_of_equal_size(6, 2)});
  std::string first;
  for (const int threads : {1, 4}) {
    try {
      DryRunOptions options;
      options.batch_tokens = c.batch_tokens;
      options.seq_len = c.seq_len;
      options.threads = threads;
      dry_run(routing.geometry, *routing.router, *stream, options);
      FAIL("not refused");
    } catch (const InputError& error) {
      if (first.empty()) first = error.what();
      CHECK(first == error.what());
      CHECK_THAT(first, ContainsSubstring("outside [0, 2)"));
    }
  }
}
