// SPDX-License-Identifier: Apache-2.0
#include "comm/plan/plan_stats.hpp"

#include <algorithm>
#include <numeric>
#include <vector>

namespace hashep {

double load_factor(std::span<const int64_t> values) {
  const int64_t sum = std::accumulate(values.begin(), values.end(), int64_t{0});
  if (sum == 0) return 1.0;
  const auto max = static_cast<double>(*std::max_element(values.begin(), values.end()));
  return max * static_cast<double>(values.size()) / static_cast<double>(sum);
}

LoadFactors load_factors(std::span<const int64_t> expert_counts, const Placement& placement) {
  std::vector<int64_t> rank_counts(placement.ep_size());
  for (size_t expert = 0; expert < expert_counts.size(); ++expert) {
    rank_counts[placement.rank_of(static_cast<int64_t>(expert))] += expert_counts[expert];
  }
  return {load_factor(expert_counts), load_factor(rank_counts)};
}

double node_load_factor(std::span<const int64_t> expert_counts, const Placement& placement,
                        const NodeMap& nodes) {
  std::vector<int64_t> node_counts(nodes.num_nodes());
  for (size_t expert = 0; expert < expert_counts.size(); ++expert) {
    const int32_t owner = placement.rank_of(static_cast<int64_t>(expert));
    node_counts[nodes.node_of(owner)] += expert_counts[expert];
  }
  const int64_t sum = std::accumulate(node_counts.begin(), node_counts.end(), int64_t{0});
  if (sum == 0) return 1.0;
  double most = 0.0;  // rows of a rank, on the average of its node
  for (int node = 0; node < nodes.num_nodes(); ++node) {
    const auto ranks = static_cast<double>(nodes.ranks_of(node).size());
    most = std::max(most, static_cast<double>(node_counts[node]) / ranks);
  }
  return most * static_cast<double>(nodes.ep_size()) / static_cast<double>(sum);
}

int64_t rows_sent_off_rank(const ExchangePlan& plan) {
  return plan.total_send() - plan.send_counts[plan.ep_rank];
}

int64_t rows_received_off_rank(const ExchangePlan& plan) {
  return plan.total_recv() - plan.recv_counts[plan.ep_rank];
}

int64_t plan_bytes(const ExchangePlan& plan) {
  const auto held = [](const auto& values) {
    return static_cast<int64_t>(values.capacity() * sizeof(values[0]));
  };
  int64_t bytes = static_cast<int64_t>(sizeof(plan)) + held(plan.experts) + held(plan.send_rows) +
                  held(plan.send_counts) + held(plan.send_displs) + held(plan.recv_counts) +
                  held(plan.recv_displs) + held(plan.expert_send_rows) + held(plan.landing_rows) +
                  held(plan.expert_ranks) + held(plan.rank_rows) + held(plan.local_experts) +
                  held(plan.expert_offsets) + held(plan.landing_blocks);
  const NodePlan& across = plan.across;
  bytes += held(across.node_experts) + held(across.expert_routes) + held(across.expert_outgoing) +
           held(across.return_rows) + held(across.outgoing) + held(across.incoming) +
           held(across.far_rows);
  for (const auto& out : across.outgoing) bytes += held(out.tokens) + held(out.routes);
  for (const auto& in : across.incoming) bytes += held(in.landing_rows);
  return bytes;
}

}  // namespace hashep
