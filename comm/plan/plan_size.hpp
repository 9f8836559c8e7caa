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

}  // namespace hashep
