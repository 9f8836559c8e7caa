// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "hashep/placement.hpp"
#include "hashep/routing_table.hpp"

namespace hashep {

/// Whose load a table evens.
enum class BalanceTarget { expert, rank, both };

/// A balanced table for experts that stand on ranks. Ids by falling count (in part shuffled by the
/// seed, so that the layers of a model differ) go each to top_k experts:
/// - `expert`: the least-loaded ones, wherever they are;
/// - `both`: each choice to the rank with the fewest choices of this id, among these to the one
///   with the least load for each of its experts, and there to its least-loaded expert that the id
///   does not have. Experts that come together in a row so stand on different ranks;
/// - `rank`: likewise, but by the ranks' load alone, however many experts they have.
/// Ids that never occurred are dealt last, each as one that occurred once, and apart from the loads
/// of the others: each expert has as many of them, but for one (`expert`, or ranks that all have as
/// many experts). Exact greedy order (longest
/// processing time first, Graham 1969) takes the place of the shuffled one where that costs
/// balance. The result's targeted load factors are never above those of build_random_table with the
/// same seed. counts: [vocab_size], none negative. Deterministic. Throws InputError.
RoutingTable build_targeted_table(std::span<const int64_t> counts, const Placement& placement,
                                  int top_k, BalanceTarget target, uint64_t seed);

}  // namespace hashep
