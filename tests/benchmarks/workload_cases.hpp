// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "benchmarks/workloads/make_workload.hpp"
#include "hashep/node_map.hpp"

namespace hashep::test {

/// A workload as its options ask for it, and what routing its ids gives.
struct WorkloadCase {
  bench::WorkloadOptions options;
  int ep_size = 1;
  int64_t tokens_per_rank = 1;
  bench::MadeWorkload made;

  TokenBatch batch(int64_t step, int rank) const {
    TokenBatch batch;
    read_batch(*made.stream,
               {.batch_tokens = ep_size * tokens_per_rank,
                .seq_len = made.seq_len,
                .ep_size = ep_size,
                .ep_rank = rank},
               step, batch);
    return batch;
  }
  /// The experts of a rank's tokens. [tokens_per_rank, top_k]
  std::vector<int32_t> experts(int64_t step, int rank, int64_t layer) const {
    const TokenBatch tokens = batch(step, rank);
    const Router& router = *made.routing.routers[static_cast<size_t>(layer)];
    std::vector<int32_t> experts(tokens.ids.size() * static_cast<size_t>(router.top_k()));
    router.route(tokens, experts);
    return experts;
  }
  /// Assignments of a rank's tokens to each expert. [num_experts]
  std::vector<int64_t> counts(int64_t step, int rank, int64_t layer) const {
    std::vector<CountWord> counts(static_cast<size_t>(options.num_experts));
    count_assignments(experts(step, rank, layer), counts);
    return {counts.begin(), counts.end()};
  }
  /// The same of all ranks' tokens.
  std::vector<int64_t> counts(int64_t step, int64_t layer) const {
    std::vector<int64_t> sums(static_cast<size_t>(options.num_experts));
    for (int rank = 0; rank < ep_size; ++rank) {
      const std::vector<int64_t> own = counts(step, rank, layer);
      for (size_t expert = 0; expert < sums.size(); ++expert) sums[expert] += own[expert];
    }
    return sums;
  }
};

inline WorkloadCase workload_case(const bench::WorkloadOptions& options, int ep_size,
                                  int64_t tokens_per_rank) {
  return {options, ep_size, tokens_per_rank,
          bench::make_workload(options, nodes_of_equal_size(ep_size, ep_size), tokens_per_rank)};
}

}  // namespace hashep::test
