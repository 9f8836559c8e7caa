// SPDX-License-Identifier: Apache-2.0
#include "runtime/exec/batch_plan.hpp"

#include <algorithm>

namespace hashep {

void route_batch(const StackRouting& routing, BatchPlan& plan, std::span<int64_t> counts) {
  const auto num_experts = static_cast<size_t>(routing.num_experts());
  plan.layers.resize(routing.routers.size());
  for (size_t layer = 0; layer < routing.routers.size(); ++layer) {
    const Router& router = *routing.routers[layer];
    ExchangePlan& layer_plan = plan.layers[layer];
    layer_plan.top_k = router.top_k();
    layer_plan.experts.resize(plan.batch.ids.size() * static_cast<size_t>(router.top_k()));
    router.route(plan.batch, layer_plan.experts);
    count_assignments(layer_plan.experts, counts.subspan(layer * num_experts, num_experts));
  }
}

void complete_batch(const StackRouting& routing, const GatheredCounts& counts, int ep_rank,
                    BatchPlan& plan) {
  const int64_t num_experts = routing.num_experts();
  plan.expert_counts.assign(static_cast<size_t>(routing.count_words()), 0);
  for (int64_t layer = 0; layer < routing.num_layers(); ++layer) {
    const Placement& placement = routing.placements[static_cast<size_t>(layer)];
    const int64_t words = (placement.ep_size() - 1) * counts.row_stride + num_experts;
    const CountMatrix matrix{
        counts.words.subspan(static_cast<size_t>(counts.first + layer * num_experts),
                             static_cast<size_t>(words)),
        counts.row_stride};
    for (int source = 0; source < placement.ep_size(); ++source) {
      for (int64_t expert = 0; expert < num_experts; ++expert) {
        plan.expert_counts[static_cast<size_t>(layer * num_experts + expert)] +=
            matrix(source, expert);
      }
    }
    complete_plan(matrix, placement, ep_rank, plan.layers[static_cast<size_t>(layer)]);
  }
}

std::vector<ExchangePlan> plan_batch(const StackRouting& routing,
                                     std::span<const TokenBatch> batches_by_rank, int ep_rank) {
  const auto words = static_cast<size_t>(routing.count_words());
  std::vector<int64_t> counts(batches_by_rank.size() * words);
  BatchPlan plan;
  BatchPlan other;
  for (size_t rank = 0; rank < batches_by_rank.size(); ++rank) {
    BatchPlan& routed = static_cast<int>(rank) == ep_rank ? plan : other;
    routed.batch = batches_by_rank[rank];
    route_batch(routing, routed, std::span(counts).subspan(rank * words, words));
  }
  complete_batch(routing, {.words = counts, .row_stride = routing.count_words()}, ep_rank, plan);
  return std::move(plan.layers);
}

}  // namespace hashep
