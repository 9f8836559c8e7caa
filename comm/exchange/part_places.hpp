// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "hashep/exchange_plan.hpp"
#include "kernels/rows/expert_place.hpp"

namespace hashep {

/// The places of the experts that are of part `part` of `num_parts` of their owners' experts (see
/// make_schedule); the others are left out. places, of_part: [num_experts]
void keep_part(const ExchangePlan& plan, int num_parts, int part,
               std::span<const ExpertPlace> places, std::span<ExpertPlace> of_part);

}  // namespace hashep
