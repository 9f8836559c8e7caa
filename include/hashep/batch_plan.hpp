// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "hashep/exchange_plan.hpp"
#include "hashep/router.hpp"
#include "hashep/stack_geometry.hpp"

namespace hashep {

/// The plans of all layers of one batch, as one rank sees them. A value: no communicator, no
/// device.
struct BatchPlan {
  int64_t step = -1;                 ///< which batch it is, counted from 0 by whoever plans them
  int64_t tokens = 0;                ///< of this rank
  int64_t first_token = 0;           ///< index of this rank's first token in the global batch
  int64_t global_tokens = 0;         ///< of all ranks
  int64_t token_granule = 0;         ///< the largest number that divides all places where a rank's
                                     ///< tokens begin; 0 where none begins behind the first
  std::vector<uint8_t> is_padding;   ///< [tokens]: 1 where the id is that of padding; empty where
                                     ///< no id is
  std::vector<ExchangePlan> layers;  ///< [num_layers]; of one with a gate empty until it is reached
  std::vector<int64_t> gate_passes;  ///< [num_layers]: by which of its stack's passes a gate's plan
                                     ///< was made
  std::vector<int64_t> expert_counts;  ///< [num_layers, num_experts], of the whole batch
  uint64_t counts_digest = 0;  ///< of all ranks' tokens and counts: alike on all, and what shapes
                               ///< follow from
};

// A batch's plans in three steps. Each rank's words are gathered between the second and the third;
// one rank can make those of all by itself (plan_batch).

/// Room in plan.layers[layer] for a layer's assignments of so many tokens, to be filled by a router
/// or a gate: [tokens, top_k], -1 for all choices of a padding token. Local.
std::span<int32_t> assignments(const StackGeometry& geometry, int64_t layer, int64_t tokens,
                               BatchPlan& plan);

/// Has a router fill it. Throws InputError where the router does, or (it is not trusted) where its
/// experts are not as Router::route promises. Local.
void route_layer(const StackGeometry& geometry, const Router& router, const TokenBatch& batch,
                 int64_t layer, BatchPlan& plan);

/// Counts a layer's assignments: to each expert, then rows for each node. words: [layer_words].
/// Local.
void count_layer(const StackGeometry& geometry, int64_t layer, const BatchPlan& plan,
                 std::span<CountWord> words);

/// Routes and counts all layers that are planned ahead, and notes which tokens are padding. words:
/// [batch_words]. Throws as route_layer, and InputError on ids below -1 where nothing routes them.
/// Local.
void route_batch(const StackGeometry& geometry, const Router& router, const TokenBatch& batch,
                 BatchPlan& plan, std::span<CountWord> words);

/// All ranks' words for a batch as they are gathered: rank s's begin at words[s * row_stride +
/// first].
struct GatheredCounts {
  std::span<const CountWord> words;  ///< from the first rank's first word to the last one's last
  int64_t row_stride = 0;            ///< words from a rank's to the next one's
  int64_t first = 0;                 ///< where a rank's words begin in its row
};

/// Where this rank's tokens stand in the global batch: ranks' parts follow one another in rank
/// order. The first of each rank's words is its number of tokens. Local.
void place_batch(const GatheredCounts& counts, int ep_size, int ep_rank, BatchPlan& plan);

/// Completes the plans of all layers, and the batch's place: a pure function of the assignments,
/// words and geometry. Allocates nothing where the plan has held these sizes before. Local.
void complete_batch(const StackGeometry& geometry, const GatheredCounts& counts, int ep_rank,
                    BatchPlan& plan);

/// Completes the plan of one layer, and its expert_counts, from that layer's words, [ep_size,
/// layer_words]: nothing else of `plan` changes. Local.
void complete_layer(const StackGeometry& geometry, int64_t layer, const CountMatrix& counts,
                    int ep_rank, BatchPlan& plan);

/// The plans of rank `ep_rank` as a pure function of all ranks' tokens: no exchange. Throws
/// InputError as route_layer does. Local.
BatchPlan plan_batch(const StackGeometry& geometry, const Router& router,
                     std::span<const TokenBatch> batches_by_rank, int ep_rank);

}  // namespace hashep
