// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/batch_plan.hpp"

#include <xxhash.h>

#include <algorithm>

namespace hashep {
namespace {

uint64_t digest(const GatheredCounts& counts, int ranks, int64_t words) {
  uint64_t value = 0;
  for (int rank = 0; rank < ranks; ++rank) {
    const auto of_rank = counts.words.subspan(
        static_cast<size_t>(rank * counts.row_stride + counts.first), static_cast<size_t>(words));
    value = XXH64(of_rank.data(), of_rank.size_bytes(), value);
  }
  return value;
}

}  // namespace

void route_layer(const StackRouting& routing, int64_t layer, BatchPlan& plan,
                 std::span<CountWord> counts) {
  const auto num_experts = static_cast<size_t>(routing.num_experts());
  const Router& router = *routing.routers[static_cast<size_t>(layer)];
  plan.layers.resize(routing.routers.size());
  ExchangePlan& layer_plan = plan.layers[static_cast<size_t>(layer)];
  layer_plan.top_k = router.top_k();
  layer_plan.experts.resize(plan.batch.ids.size() * static_cast<size_t>(router.top_k()));
  router.route(plan.batch, layer_plan.experts);
  count_assignments(layer_plan.experts, counts.first(num_experts));
  if (counts.size() == num_experts) return;
  plan.expert_nodes.clear();
  for (const int32_t owner : routing.placements[static_cast<size_t>(layer)].ranks()) {
    plan.expert_nodes.push_back(routing.nodes->node_of(owner));
  }
  count_node_rows(layer_plan.experts, layer_plan.top_k, plan.expert_nodes,
                  counts.subspan(num_experts));
}

void route_batch(const StackRouting& routing, BatchPlan& plan, std::span<CountWord> counts) {
  const auto words = static_cast<size_t>(routing.layer_words());
  for (int64_t layer = 0; layer < routing.num_layers(); ++layer) {
    route_layer(routing, layer, plan, counts.subspan(static_cast<size_t>(layer) * words, words));
  }
}

void complete_layer(const StackRouting& routing, int64_t layer, const CountMatrix& counts,
                    int ep_rank, BatchPlan& plan) {
  const Placement& placement = routing.placements[static_cast<size_t>(layer)];
  ExchangePlan& layer_plan = plan.layers[static_cast<size_t>(layer)];
  complete_plan(counts, placement, ep_rank, layer_plan);
  if (routing.nodes) {
    complete_node_plan(counts, placement, *routing.nodes, routing.node_reduce, layer_plan);
  }
}

void complete_batch(const StackRouting& routing, const GatheredCounts& counts, int ep_rank,
                    BatchPlan& plan) {
  const int64_t num_experts = routing.num_experts();
  const int64_t layer_words = routing.layer_words();
  plan.counts_digest = digest(counts, routing.placements.front().ep_size(), routing.count_words());
  plan.expert_counts.assign(static_cast<size_t>(routing.num_layers() * num_experts), 0);
  for (int64_t layer = 0; layer < routing.num_layers(); ++layer) {
    const int ep_size = routing.placements[static_cast<size_t>(layer)].ep_size();
    const int64_t words = (ep_size - 1) * counts.row_stride + layer_words;
    const CountMatrix matrix{
        counts.words.subspan(static_cast<size_t>(counts.first + layer * layer_words),
                             static_cast<size_t>(words)),
        counts.row_stride};
    for (int source = 0; source < ep_size; ++source) {
      for (int64_t expert = 0; expert < num_experts; ++expert) {
        plan.expert_counts[static_cast<size_t>(layer * num_experts + expert)] +=
            matrix(source, expert);
      }
    }
    complete_layer(routing, layer, matrix, ep_rank, plan);
  }
}

std::vector<ExchangePlan> plan_batch(const StackRouting& routing,
                                     std::span<const TokenBatch> batches_by_rank, int ep_rank) {
  const auto words = static_cast<size_t>(routing.count_words());
  std::vector<CountWord> counts(batches_by_rank.size() * words);
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
