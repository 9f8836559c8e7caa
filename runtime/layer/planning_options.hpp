// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>

#include "comm/plan/plan_size.hpp"
#include "hashep/exchange_plan.hpp"

namespace hashep {

/// How ranks learn of each other's counts.
enum class Planning {
  exchange,    // each rank reads its own ids; one planning exchange per batch, for all layers
  replicated,  // each rank reads and routes all ids; no exchange
};

/// How the batches of a token stream are planned ahead.
struct PlanningOptions {
  Planning planning = Planning::exchange;
  int depth = 1;  // batches planned ahead of the one that computes; 0: each on the critical path

  /// Exchanges that are under way at once.
  constexpr int exchanges() const { return std::max(1, depth); }
};

/// Of a rank's words in a planning exchange the first: 0, or what was wrong with its tokens. The
/// words of the batch, or of a layer, follow.
inline constexpr int64_t kStatusWords = 1;

/// A rank's part of bytes that so many ranks share.
constexpr int64_t share_of_node(int64_t bytes, int64_t ranks_of_node) {
  return (bytes + ranks_of_node - 1) / ranks_of_node;
}

/// Bytes of the matrices through which the ranks of a node learn of `batch_words` words of each of
/// `ep_size` ranks: the part of planning's memory that grows with the number of ranks. Where
/// planning is replicated nothing is shared, and they are one rank's.
constexpr int64_t planning_node_bytes(int64_t batch_words, int64_t ep_size, int64_t ranks_of_node,
                                      const PlanningOptions& options) {
  const int64_t words = kStatusWords + batch_words;
  if (options.planning == Planning::replicated) {
    return (options.depth + 1) * ep_size * words * static_cast<int64_t>(sizeof(CountWord));
  }
  return options.exchanges() * count_exchange_bytes(words, ep_size, ranks_of_node);
}

/// Bytes of the buffers through which a rank, one of `ranks_of_node` that share memory, learns of
/// other ranks' words: its own words and its part of what its node holds. Plans come on top.
constexpr int64_t planning_buffer_bytes(int64_t batch_words, int64_t ep_size, int64_t ranks_of_node,
                                        const PlanningOptions& options) {
  if (options.planning == Planning::replicated) {
    return planning_node_bytes(batch_words, ep_size, 1, options);
  }
  const int64_t words = kStatusWords + batch_words;
  return words * static_cast<int64_t>(sizeof(CountWord)) +
         options.exchanges() *
             share_of_node(count_exchange_bytes(words, ep_size, ranks_of_node), ranks_of_node);
}

}  // namespace hashep
