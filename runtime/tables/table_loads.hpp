// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "comm/plan/plan_stats.hpp"
#include "hashep/routing_table.hpp"

namespace hashep {

/// The assignments of each expert where id v occurs counts[v] times; rows of a spread id are taken
/// to occur equally often. counts: [table.vocab_size].
/// Returns [num_experts]; load_factors (comm/plan/plan_stats.hpp) makes factors of them. Throws
/// RunError where counts has another length. The table has passed validate_table.
std::vector<int64_t> table_loads(const RoutingTable& table, std::span<const int64_t> counts,
                                 int64_t num_experts);

/// What no table can be below in max/mean load over `num_parts` experts or ranks, since all
/// occurrences of an id go the same way: max(1, p_max * ceil(k / parts) * parts / k), p_max being
/// the share of the most frequent id. For experts this is max(1, p_max * E / k).
double load_bound(std::span<const int64_t> counts, int64_t num_parts, int top_k);

/// load_bound of ranks: those without an expert have no load, whatever the table.
double rank_load_bound(std::span<const int64_t> counts, const Placement& placement, int top_k);

/// The load factors of a table on a corpus, with experts placed on ranks.
LoadFactors table_load_factors(const RoutingTable& table, std::span<const int64_t> counts,
                               const Placement& placement);

}  // namespace hashep
