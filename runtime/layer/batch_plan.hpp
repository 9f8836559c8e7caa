// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "hashep/exchange_plan.hpp"
#include "hashep/router.hpp"
#include "hashep/token_batch.hpp"

namespace hashep {

/// The static routing of a layer stack: one router and one placement per layer, of equal
/// num_experts, and where its ranks run.
struct StackRouting {
  std::vector<std::unique_ptr<Router>> routers;
  std::vector<Placement> placements;
  std::optional<NodeMap> nodes;  // empty: all ranks on one node
  bool node_reduce = false;      // a node's contributions to a token return as one sum

  int64_t num_layers() const { return static_cast<int64_t>(routers.size()); }
  int64_t num_experts() const { return routers.front()->num_experts(); }
  /// Nodes that a rank counts rows for; none where all ranks share one.
  int64_t counted_nodes() const { return nodes && nodes->num_nodes() > 1 ? nodes->num_nodes() : 0; }
  /// Integers a rank's counts for one layer take: for each expert, then for each node.
  int64_t layer_words() const { return num_experts() + counted_nodes(); }
  /// Integers a rank's counts for all layers take.
  int64_t count_words() const { return num_layers() * layer_words(); }
};

/// The plans of all layers of one batch, as one rank sees them.
struct BatchPlan {
  TokenBatch batch;  // this rank's tokens
  int64_t step = -1;
  int64_t first_token = 0;    // index of this rank's first token in the global batch
  int64_t global_tokens = 0;  // tokens of the batch on all ranks
  std::vector<ExchangePlan> layers;
  std::vector<int64_t> expert_counts;  // [num_layers, num_experts], of the whole batch
  uint64_t counts_digest = 0;          // of all ranks' counts: alike on all, and what shapes follow
                                       // from
  std::vector<int32_t> expert_nodes;   // [num_experts], of the layer routed last
};

/// Routes plan.batch in all layers into plan.layers[l].experts, and counts assignments to experts
/// and rows for nodes: counts [num_layers, layer_words]. Local.
void route_batch(const StackRouting& routing, BatchPlan& plan, std::span<CountWord> counts);

/// The same for one of its layers. counts: [layer_words].
void route_layer(const StackRouting& routing, int64_t layer, BatchPlan& plan,
                 std::span<CountWord> counts);

/// All ranks' counts for all layers, as they are gathered: rank s's counts [num_layers,
/// layer_words] stand at words[s * row_stride + first].
struct GatheredCounts {
  std::span<const CountWord> words;
  int64_t row_stride = 0;
  int64_t first = 0;
};

/// Completes the plans of all layers: a pure function of plan.batch's routing, counts and
/// placements. Allocates nothing where the plan has held these sizes before. Local.
void complete_batch(const StackRouting& routing, const GatheredCounts& counts, int ep_rank,
                    BatchPlan& plan);

/// Completes the plan of one of its layers from that layer's counts, [ep_size, layer_words]:
/// nothing else of `plan` changes. Local.
void complete_layer(const StackRouting& routing, int64_t layer, const CountMatrix& counts,
                    int ep_rank, BatchPlan& plan);

/// The plans of rank `ep_rank` as a pure function of all ranks' tokens: no exchange.
std::vector<ExchangePlan> plan_batch(const StackRouting& routing,
                                     std::span<const TokenBatch> batches_by_rank, int ep_rank);

}  // namespace hashep
