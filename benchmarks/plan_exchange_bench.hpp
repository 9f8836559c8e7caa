// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "benchmarks/plan_bench.hpp"
#include "comm/communicator.hpp"
#include "comm/watch.hpp"

namespace hashep::bench {

/// Measures the planning exchange: rows `exchange`, one for each number of experts and layers, from
/// where a rank has counted its assignments to where it has the counts of all ranks. Checks what
/// arrives before and after. Writes JSON to `json_path` where that is not empty. Collective. Throws
/// CollectiveInputError on all ranks.
void measure_plan_exchange(const PlanOptions& options, const std::string& json_path,
                           const std::vector<std::string>& args, const Communicator& comm,
                           Watch& watch);

}  // namespace hashep::bench
