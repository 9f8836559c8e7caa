// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/model/rank_flows.hpp"

#include "benchmarks/model/routed_job.hpp"
#include "benchmarks/workloads/workload_counts.hpp"
#include "hashep/error.hpp"
#include "tests/support/catch.hpp"

using namespace hashep;
using namespace hashep::bench;

namespace {

/// The same from the plans of all ranks.
JobFlows flows_of_plans(const RoutedJob& job) {
  const NodeMap& nodes = job.nodes();
  const int ranks = nodes.ep_size();
  std::vector<StreamBatch> batches(ranks);
  std::vector<TokenBatch> views;
  for (int rank = 0; rank < ranks; ++rank) {
    read_batch(job.stream(), job.split(rank), 0, batches[rank]);
    views.push_back(batches[rank].view());
  }
  JobFlows flows;
  flows.ranks.resize(ranks);
  flows.expert_rows.resize(job.geometry().num_experts());
  for (int rank = 0; rank < ranks; ++rank) {
    const ExchangePlan plan = plan_batch(job.geometry(), job.router(), views, rank).layers.front();
    RankFlows& own = flows.ranks[rank];
    own.tokens = plan.tokens;
    for (const auto& out : plan.across.outgoing) {
      own.far_out_once += out.num_rows();
      own.far_nodes += out.num_rows() > 0 ? 1 : 0;
    }
    int64_t served = 0;
    for (const auto& in : plan.across.incoming) {
      own.taken_in += in.num_rows;
      served += in.num_routes;
    }
    for (int other = 0; other < ranks; ++other) {
      const int64_t out = plan.send_counts[other];
      const int64_t in = plan.recv_counts[other];
      const bool near = nodes.node_of(other) == nodes.node_of(rank);
      if (other == rank) {
        own.own = out;
      } else if (near) {
        own.near_out += out;
        own.near_in += in;
        own.near_peers += out > 0 ? 1 : 0;
      } else {
        own.far_out += out;
        own.far_in += in;
        own.far_peers += out > 0 ? 1 : 0;
        const bool taken_here = nodes.peer_of(other, nodes.node_of(rank)) == rank;
        (taken_here ? own.forward_own : own.forwarded_to) += in;
      }
    }
    own.forward_near = served - own.forward_own;
    for (size_t i = 0; i < plan.local_experts.size(); ++i) {
      flows.expert_rows[plan.local_experts[i]] =
          plan.expert_offsets[i + 1] - plan.expert_offsets[i];
    }
  }
  return flows;
}

}  // namespace

TEST_CASE("flows are those of all ranks' plans, for any number of threads") {
  int64_t far = 0;
  int64_t forwarded = 0;
  for (const auto& [ranks, ranks_per_node] : {std::pair{1, 1}, {4, 4}, {5, 2}, {7, 1}, {12, 4}}) {
    for (const int64_t top_k : {1, 3}) {
      for (const std::string placement : {"contiguous", "balanced"}) {
        INFO(ranks << " ranks, " << ranks_per_node << " a node, top " << top_k << ", "
                   << placement);
        JobRouting routing;
        routing.workload.name = "zipf";
        routing.workload.vocab_size = 97;
        routing.placement = placement;
        const RoutedJob job(routing, {.batch_tokens = 203,
                                      .num_experts = 9,
                                      .top_k = top_k,
                                      .ranks = ranks,
                                      .ranks_per_node = ranks_per_node});
        const JobFlows expected = flows_of_plans(job);
        for (const int threads : {1, 3}) CHECK(job.count_flows(threads) == expected);
        for (const RankFlows& rank : expected.ranks) {
          far += rank.far_out;
          forwarded += rank.forward_near;
          CHECK(rank.sent() == rank.tokens * top_k);
        }
      }
    }
  }
  CHECK(far > 0);
  CHECK(forwarded > 0);
}

TEST_CASE("flows of a workload by name are those of its ranks' plans, whatever the router") {
  const JobShape shape{
      .batch_tokens = 192, .num_experts = 8, .top_k = 2, .ranks = 4, .ranks_per_node = 2};
  for (const std::string name : {"W0", "W1", "W2", "W3", "W4", "W5", "W6"}) {
    INFO(name);
    JobRouting routing;
    routing.workload.name = name;
    const RoutedJob job(routing, shape);
    const JobFlows flows = job.count_flows(2);
    CHECK(flows == flows_of_plans(job));
    WorkloadOptions options = routing.workload;
    options.num_experts = shape.num_experts;
    options.top_k = shape.top_k;
    const WorkloadRules rules = workload_rules(options, shape.ranks, 48);
    std::vector<int64_t> expected(8);
    for (int rank = 0; rank < shape.ranks; ++rank) {
      const auto counts = expected_counts(rules, 0, rank, 0);
      for (size_t expert = 0; expert < expected.size(); ++expert) {
        expected[expert] += counts[expert];
      }
    }
    CHECK(flows.expert_rows == expected);
  }
  std::vector<JobFlows> others;
  for (const std::string router : {"token", "position", "previous", "bigram", "balanced"}) {
    INFO(router);
    JobRouting routing;
    routing.workload.vocab_size = 31;
    routing.workload.router = router;
    const RoutedJob job(routing, shape);
    const JobFlows flows = job.count_flows(1);
    CHECK(flows == flows_of_plans(job));
    for (const JobFlows& other : others) CHECK_FALSE(flows == other);
    others.push_back(flows);
  }
}

TEST_CASE("a workload by rules needs as many tokens on each rank") {
  JobRouting routing;
  routing.workload.name = "W1";
  CHECK_THROWS_WITH(RoutedJob(routing, {.batch_tokens = 203, .ranks = 4}),
                    "--workload W1: a batch of 203 tokens is not as many for each of 4 ranks");
}
