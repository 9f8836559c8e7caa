// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "hashep/placement.hpp"

namespace hashep {

/// Where the experts of each of `num_layers` tables stand, from the word of --placement:
/// contiguous, or the name of a placement file, *.json. Not balanced: that follows from a table and
/// its counts. Throws InputError, also for a file that is for other numbers of layers, experts or
/// ranks.
std::vector<Placement> table_placements(const std::string& word, int64_t num_layers,
                                        int64_t num_experts, int ranks);

}  // namespace hashep
