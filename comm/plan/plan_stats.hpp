// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "hashep/exchange_plan.hpp"

namespace hashep {

/// max/mean of values; 1 where all are zero or there are none.
double load_factor(std::span<const int64_t> values);

/// Load factors of one layer: over experts, and over ranks by rows received.
struct LoadFactors {
  double expert_max_over_mean = 1.0;
  double rank_max_over_mean = 1.0;
};

/// expert_counts: [num_experts], assignments of the whole batch.
LoadFactors load_factors(std::span<const int64_t> expert_counts, const Placement& placement);

/// max/mean over nodes of the rows that a rank of the node receives on the average.
double node_load_factor(std::span<const int64_t> expert_counts, const Placement& placement,
                        const NodeMap& nodes);

/// Rows this rank sends to other ranks in dispatch; combine sends as many back the other way.
int64_t rows_sent_off_rank(const ExchangePlan& plan);
int64_t rows_received_off_rank(const ExchangePlan& plan);

/// Bytes the plan itself holds: 12 per assignment and O(num_experts + ep_size).
int64_t plan_bytes(const ExchangePlan& plan);

}  // namespace hashep
