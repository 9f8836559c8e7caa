// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>

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
  int exchanges() const { return std::max(1, depth); }
};

/// Of a rank's words in a planning exchange the first: 0, or what was wrong with its tokens. The
/// words of the batch, or of a layer, follow.
inline constexpr int64_t kStatusWords = 1;

/// Bytes of the buffers of a CountExchange that gathers so many words of each of `ep_size` ranks:
/// this rank's, as MPI reads them, and all ranks'.
constexpr int64_t count_exchange_bytes(int64_t words, int64_t ep_size) {
  return (1 + ep_size) * words * static_cast<int64_t>(sizeof(CountWord));
}

/// Bytes of the buffers through which ranks learn of `batch_words` words of each of `ep_size`
/// ranks: the part of planning's memory that grows with the number of ranks. Plans come on top.
constexpr int64_t planning_buffer_bytes(int64_t batch_words, int64_t ep_size,
                                        const PlanningOptions& options) {
  const int64_t words = kStatusWords + batch_words;
  const auto word_bytes = static_cast<int64_t>(sizeof(CountWord));
  if (options.planning == Planning::replicated) {
    return (options.depth + 1) * ep_size * words * word_bytes;
  }
  return words * word_bytes + options.exchanges() * count_exchange_bytes(words, ep_size);
}

}  // namespace hashep
