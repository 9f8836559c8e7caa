// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "benchmarks/workloads/workload_rules.hpp"

namespace hashep::bench {

/// How many assignments to each expert [num_experts] the tokens of a rank have in the batch of a
/// step, in one layer: from the rules, without an id being made or routed.
std::vector<int64_t> expected_counts(const WorkloadRules& rules, int64_t step, int rank,
                                     int64_t layer);

}  // namespace hashep::bench
