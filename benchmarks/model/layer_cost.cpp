// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/model/layer_cost.hpp"

#include <algorithm>

namespace hashep::bench {
namespace {

/// Seconds of one expert.
double expert_seconds(const MachineProfile& profile, const LayerShape& shape, int64_t rows) {
  if (rows == 0) return 0.0;
  const auto count = static_cast<double>(rows);
  return count * shape.flops_per_row() / gemm_speed(profile, shape.dtype, count);
}

}  // namespace

double LayerShape::flops_per_row() const {
  const double gemms = ffn.activation == Activation::silu ? 3.0 : 2.0;
  return 2.0 * gemms * static_cast<double>(ffn.hidden_size) * static_cast<double>(ffn.ffn_size);
}

ExpertsCost experts_cost(const JobFlows& flows, const Placement& placement,
                         const MachineProfile& profile, const LayerShape& shape) {
  ExpertsCost cost;
  for (int rank = 0; rank < placement.ep_size(); ++rank) {
    double seconds = 0.0;
    for (const int32_t expert : placement.local_experts(rank)) {
      seconds += expert_seconds(profile, shape, flows.expert_rows[expert]);
    }
    cost.slowest = std::max(cost.slowest, seconds);
    cost.mean += seconds / placement.ep_size();
  }
  return cost;
}

LayerCost layer_cost(const JobFlows& flows, const Placement& placement, const NodeMap& nodes,
                     const MachineProfile& profile, const LayerShape& shape) {
  const auto exchange = [&](Direction direction) {
    const ExchangeCase one{shape.move, direction, shape.row_bytes(), shape.node_reduce};
    return slowest_rank(exchange_work(flows, nodes, profile, one), profile).seconds;
  };
  const ExpertsCost experts = experts_cost(flows, placement, profile, shape);
  LayerCost cost;
  cost.dispatch = exchange(Direction::dispatch);
  cost.experts = experts.slowest;
  cost.mean_experts = experts.mean;
  cost.combine = exchange(Direction::combine);
  if (shape.num_shared_experts > 0) {
    for (const RankFlows& rank : flows.ranks) {
      cost.shared_experts =
          std::max(cost.shared_experts, static_cast<double>(shape.num_shared_experts) *
                                            expert_seconds(profile, shape, rank.tokens));
    }
  }
  return cost;
}

}  // namespace hashep::bench
