// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "hashep/routing_table.hpp"

namespace hashep {

/// `random`: each row's experts drawn uniformly without repetition, a pure function of the seed.
RoutingTable build_random_table(int64_t vocab_size, int64_t num_experts, int top_k, uint64_t seed);

}  // namespace hashep
