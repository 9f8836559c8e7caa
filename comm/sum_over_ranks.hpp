// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "comm/communicator.hpp"
#include "comm/watch.hpp"
#include "kernels/rows/fixed_point_rows.hpp"

namespace hashep {

/// sums <- those of all ranks' addends, the same on all of them. All ranks pass the same shape.
/// Collective. Throws CollectiveInputError where all ranks together have more addends than
/// kMostAddends.
void sum_over_ranks(const Communicator& comm, Watch& watch, FixedPointRows& sums);

}  // namespace hashep
