// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "hashep/exchange_plan.hpp"

namespace hashep {

/// How ranks learn of each other's counts.
enum class Planning {
  exchange,    // each rank reads its own ids; one planning exchange per batch, for all layers
  replicated,  // each rank reads and routes all ids; no exchange
};

/// How plans are made ahead.
struct PlanningOptions {
  Planning planning = Planning::exchange;
  int depth = 1;  // batches planned ahead of the one that computes; 0: each on the critical path
};

/// Of a rank's words in the planning exchange the first, which is 1 where its ids are bad. Its
/// counts (StackRouting::count_words) follow.
inline constexpr int64_t kStatusWords = 1;

/// Bytes of the buffers of a CountExchange that gathers so many words of each of `ep_size` ranks:
/// this rank's, as MPI reads them, and all ranks'.
constexpr int64_t count_exchange_bytes(int64_t words, int64_t ep_size) {
  return (1 + ep_size) * words * static_cast<int64_t>(sizeof(CountWord));
}

/// Bytes of the buffers of a PlanPipeline through which ranks learn of `count_words` counts of each
/// of `ep_size` ranks: the part of planning's memory that grows with the number of ranks. Plans
/// come on top.
constexpr int64_t planning_buffer_bytes(int64_t count_words, int64_t ep_size,
                                        const PlanningOptions& options) {
  const int64_t words = kStatusWords + count_words;
  const auto word_bytes = static_cast<int64_t>(sizeof(CountWord));
  const int64_t of_batch = options.planning == Planning::exchange
                               ? words * word_bytes + count_exchange_bytes(words, ep_size)
                               : ep_size * words * word_bytes;
  return (options.depth + 1) * of_batch;
}

}  // namespace hashep
