// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "hashep/exchange_plan.hpp"

namespace hashep {

/// plan_bytes of the plan of `ep_rank` that complete_plan and complete_node_plan would make in
/// fresh memory, without making it. assignments: of this rank, padding among them. On one node a
/// plan has no part between nodes. O(ep_size * num_local_experts) time.
int64_t expected_plan_bytes(const CountMatrix& counts, const Placement& placement,
                            const NodeMap& nodes, int ep_rank, int64_t assignments);

/// How many ranks of other nodes send their rows for this rank's node to this rank.
int64_t count_sources(const NodeMap& nodes, int ep_rank);

/// How many ranges NodePlan::far_rows has.
int64_t count_far_ranges(const CountMatrix& counts, const NodeMap& nodes,
                         std::span<const int32_t> local_experts, int ep_rank);

/// Bytes of a rank's flags in a planning exchange: a cache line for each of two stages.
inline constexpr int64_t kCountFlagBytes = 2 * 64;

/// Bytes that a planning exchange (CountExchange) of so many words of each of `ep_size` ranks takes
/// in the memory of a node whose `ranks_of_node` ranks share it: one matrix, and their flags.
constexpr int64_t count_exchange_bytes(int64_t words, int64_t ep_size, int64_t ranks_of_node) {
  return ep_size * words * static_cast<int64_t>(sizeof(CountWord)) +
         ranks_of_node * kCountFlagBytes;
}

}  // namespace hashep
