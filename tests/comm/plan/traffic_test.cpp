// SPDX-License-Identifier: Apache-2.0
#include "comm/plan/traffic.hpp"

#include <algorithm>
#include <numeric>

#include "comm/plan/plan_size.hpp"
#include "comm/plan/plan_stats.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/random_routing.hpp"

using namespace hashep;
using test::Skew;

namespace {

/// A random job, and the plans of all its ranks.
struct Job {
  test::RandomRouting routing;
  Placement placement;
  NodeMap nodes;
  std::vector<CountWord> words;
  std::vector<ExchangePlan> plans;

  CountMatrix counts() const { return {words, routing.num_experts + nodes.num_nodes()}; }
};

Job random_job(std::mt19937& random, int round, bool reduces) {
  const int ep_size = static_cast<int>(1 + random() % 16);
  const auto num_experts = static_cast<int64_t>(1 + random() % 40);
  const int top_k = static_cast<int>(1 + random() % std::min<uint64_t>(6, num_experts));
  std::vector<int64_t> tokens;
  for (int rank = 0; rank < ep_size; ++rank) {
    tokens.push_back(random() % 4 == 0 ? 0 : static_cast<int64_t>(random() % 30));
  }
  auto routing = test::random_routing(random, ep_size, num_experts, top_k, tokens,
                                      static_cast<Skew>(round % 3));
  std::vector<int32_t> owners;
  for (int64_t e = 0; e < num_experts; ++e) {
    owners.push_back(static_cast<int32_t>(random() % static_cast<unsigned>(ep_size)));
  }
  Placement placement =
      round % 2 == 0 ? contiguous_placement(num_experts, ep_size) : Placement(owners, ep_size);
  NodeMap nodes = nodes_of_equal_size(ep_size, 1 + random() % 6);
  if (round % 5 == 4) {  // uneven, in any order
    std::vector<int32_t> labels;
    for (int rank = 0; rank < ep_size; ++rank) labels.push_back(static_cast<int32_t>(random() % 3));
    nodes = NodeMap(labels);
  }
  Job job{std::move(routing), std::move(placement), std::move(nodes), {}, {}};
  job.words = job.routing.words(job.placement, job.nodes);
  for (int rank = 0; rank < ep_size; ++rank) {
    job.plans.push_back(job.routing.plan(job.placement, rank, job.nodes, reduces));
  }
  return job;
}

/// Rows from rank to rank and, once a row, from node to node: what the plans of all ranks say.
struct Moved {
  TrafficMatrix ranks;
  TrafficMatrix nodes;
};

Moved moved_by_plans(const Job& job) {
  Moved moved{empty_traffic(job.nodes, TrafficUnit::rank),
              empty_traffic(job.nodes, TrafficUnit::node)};
  for (const ExchangePlan& plan : job.plans) {
    const int64_t own_node = job.nodes.node_of(plan.ep_rank);
    for (int rank = 0; rank < plan.ep_size; ++rank) {
      const int64_t rows = plan.send_counts[static_cast<size_t>(rank)];
      const auto node_cell =
          static_cast<size_t>(own_node * moved.nodes.size + job.nodes.node_of(rank));
      moved.ranks.rows[static_cast<size_t>(plan.ep_rank * plan.ep_size + rank)] += rows;
      moved.nodes.rows[node_cell] += rows;
      if (job.nodes.node_of(rank) == own_node) moved.nodes.rows_dedup[node_cell] += rows;
    }
    for (const NodePlan::Outgoing& out : plan.across.outgoing) {
      moved.nodes.rows_dedup[static_cast<size_t>(own_node * moved.nodes.size + out.node)] +=
          out.num_rows();
    }
  }
  return moved;
}

/// Sum of the cells that are, or are not, on the diagonal.
int64_t sum_off_diagonal(const std::vector<int64_t>& cells, int64_t size) {
  int64_t sum = std::accumulate(cells.begin(), cells.end(), int64_t{0});
  for (int64_t i = 0; i < size; ++i) sum -= cells[static_cast<size_t>(i * size + i)];
  return sum;
}

BufferRows rows_of_plan(const ExchangePlan& plan) {
  BufferRows rows{.landing = plan.total_recv(), .sent = plan.total_send()};
  for (const NodePlan::Outgoing& out : plan.across.outgoing) {
    rows.out += out.num_rows();
    rows.out_routes += out.num_routes();
  }
  for (const NodePlan::Incoming& in : plan.across.incoming) {
    rows.in += in.num_rows;
    rows.in_routes += in.num_routes;
  }
  return rows;
}

}  // namespace

TEST_CASE("traffic computed from counts is the sum of the plans of all ranks") {
  std::mt19937 random(21);
  int64_t inter = 0;
  int64_t spared = 0;
  int64_t intra = 0;
  for (int round = 0; round < 120; ++round) {
    const Job job = random_job(random, round, round % 4 == 0);
    const LayerTraffic traffic = layer_traffic(job.counts(), job.placement, job.nodes);
    const Moved moved = moved_by_plans(job);
    for (const auto& [unit, expected] :
         {std::pair{TrafficUnit::rank, &moved.ranks}, {TrafficUnit::node, &moved.nodes}}) {
      TrafficMatrix matrix = empty_traffic(job.nodes, unit);
      add_traffic(job.counts(), job.placement, job.nodes, unit, matrix);
      CHECK(matrix == *expected);
    }
    const int64_t off_rank = sum_off_diagonal(moved.ranks.rows, moved.ranks.size);
    CHECK(traffic.rows_inter == sum_off_diagonal(moved.nodes.rows, moved.nodes.size));
    CHECK(traffic.rows_inter_dedup == sum_off_diagonal(moved.nodes.rows_dedup, moved.nodes.size));
    CHECK(traffic.rows_intra + traffic.rows_inter == off_rank);
    for (const ExchangePlan& plan : job.plans) {
      const auto rank = static_cast<size_t>(plan.ep_rank);
      CHECK(traffic.rank_rows == plan.rank_rows);
      CHECK(traffic.buffers[rank] == rows_of_plan(plan));
      for (size_t i = 0; i < plan.local_experts.size(); ++i) {
        CHECK(traffic.expert_rows[static_cast<size_t>(plan.local_experts[i])] ==
              plan.expert_offsets[i + 1] - plan.expert_offsets[i]);
      }
    }
    intra += traffic.rows_intra;
    inter += traffic.rows_inter;
    spared += traffic.rows_inter - traffic.rows_inter_dedup;
  }
  CHECK(intra > 1000);
  CHECK(inter > 10000);
  CHECK(spared > 1000);
}

TEST_CASE("the size of a plan is known without making it") {
  std::mt19937 random(22);
  int64_t bytes = 0;
  for (int round = 0; round < 80; ++round) {
    const Job job = random_job(random, round, round % 2 == 0);
    for (const ExchangePlan& plan : job.plans) {
      const int64_t expected =
          expected_plan_bytes(job.counts(), job.placement, job.nodes, plan.ep_rank,
                              static_cast<int64_t>(plan.experts.size()));
      CHECK(expected == plan_bytes(plan));
      CHECK(count_sources(job.nodes, plan.ep_rank) == std::ssize(plan.across.incoming));
      bytes += expected;
    }
  }
  CHECK(bytes > 100000);
}

TEST_CASE("buffers hold the largest of each layer") {
  BufferRows largest;
  keep_largest({.landing = 5, .sent = 1, .out = 2, .out_routes = 4, .in = 1, .in_routes = 3},
               largest);
  keep_largest({.landing = 3, .sent = 9, .out = 3, .out_routes = 3, .in = 2, .in_routes = 2},
               largest);
  CHECK(largest ==
        BufferRows{.landing = 5, .sent = 9, .out = 3, .out_routes = 4, .in = 2, .in_routes = 3});
  // 5 rows of 20 bytes take two lines of 64.
  CHECK(row_buffer_bytes(largest, Exchange::shared_memory, false, 20) == 128 + 7 * 20);
  CHECK(row_buffer_bytes(largest, Exchange::shared_memory, true, 20) == 128 + 5 * 20);
  CHECK(row_buffer_bytes(largest, Exchange::messages, false, 20) == (9 + 2 * 5) * 20);
}
