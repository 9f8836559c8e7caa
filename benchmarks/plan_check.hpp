// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "hashep/exchange_plan.hpp"

namespace hashep::bench {

/// How many of a plan's numbers differ from what its routing, all ranks' counts and the placement
/// say, derived here anew and in another way: rows at the source from the order (owner, expert,
/// assignment), rows at the owner by adding up counts. counts: [ep_size, num_experts].
int64_t wrong_in_plan(const ExchangePlan& plan, const CountMatrix& counts,
                      const Placement& placement);

}  // namespace hashep::bench
