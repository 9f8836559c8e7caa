// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "hashep/routing_table.hpp"

namespace hashep {

/// Counts of a corpus in which each row of a hot id counts as an id of its own, so that any builder
/// of tables can place it.
struct SpreadCounts {
  int64_t vocab_size = 0;
  std::vector<int64_t> counts;   // [vocab_size + further rows]; the latter in the order of the ids
  std::vector<int32_t> ids;      // the hot ids, as in SpreadRows
  std::vector<int64_t> offsets;  // as in SpreadRows
};

/// Ids that would load an expert with more than `limit` times the mean load of an expert
/// (p_v * E / k > limit) get as many rows as bring each row down to it,
/// ceil(p_v * E / (k * limit)), their counts dealt evenly. Throws InputError unless limit is finite
/// and at least kLeastSpreadLimit.
inline constexpr double kLeastSpreadLimit = 0.05;
SpreadCounts spread_counts(std::span<const int64_t> counts, int64_t num_experts, int top_k,
                           double limit);

/// The table with spread rows of seed 0 from one that was built on spread.counts.
RoutingTable fold_spread_rows(const RoutingTable& built, const SpreadCounts& spread);

/// The reverse: each row of each id as a row of its own, and how often it occurs where id v occurs
/// counts[v] times and its rows equally often. Without spread rows, table and counts themselves.
RoutingTable unfold_spread_rows(const RoutingTable& table);
SpreadCounts counts_of_rows(const RoutingTable& table, std::span<const int64_t> counts);

}  // namespace hashep
