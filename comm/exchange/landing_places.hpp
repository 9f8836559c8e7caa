// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "hashep/exchange_plan.hpp"
#include "hashep/node_map.hpp"
#include "kernels/rows/expert_place.hpp"

namespace hashep {

// Where rows land under a plan, whoever's memory that is: pure functions of it.

/// Where this rank's rows for an expert stand at its owner, whose expert-major rows begin at
/// `rows`: row send_rows[a] of the place is the final place of assignment a.
inline ExpertPlace landing_place(const ExchangePlan& plan, size_t expert, std::byte* rows) {
  return {rows, plan.landing_rows[expert] - plan.expert_send_rows[expert]};
}

/// landing_place of each expert on the node of the plan's rank; experts of other nodes: null.
/// rows_of(i): where the expert-major rows of the node's i-th rank begin. places: [num_experts]
template <typename RowsOf>
void find_node_places(const ExchangePlan& plan, const NodeMap& nodes, const RowsOf& rows_of,
                      std::span<ExpertPlace> places) {
  const int32_t node = nodes.node_of(plan.ep_rank);
  for (size_t expert = 0; expert < places.size(); ++expert) {
    const int32_t owner = plan.expert_ranks[expert];
    places[expert] = nodes.node_of(owner) == node
                         ? landing_place(plan, expert, rows_of(nodes.local_index(owner)))
                         : ExpertPlace{};
  }
}

/// Raises most[i] to the bytes that the i-th of `ranks` receives under any of the plans.
inline void raise_to_received(std::span<const ExchangePlan> plans, std::span<const int32_t> ranks,
                              int64_t row_bytes, std::span<int64_t> most) {
  for (const ExchangePlan& plan : plans) {
    for (size_t i = 0; i < ranks.size(); ++i) {
      most[i] = std::max(most[i], plan.rank_rows[ranks[i]] * row_bytes);
    }
  }
}

/// The places of the experts that are of part `part` of `num_parts` of their owners' experts (see
/// make_schedule); the others are left out. places, of_part: [num_experts]
void keep_part(const ExchangePlan& plan, int num_parts, int part,
               std::span<const ExpertPlace> places, std::span<ExpertPlace> of_part);

}  // namespace hashep
