// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "benchmarks/scale_plan.hpp"
#include "comm/communicator.hpp"
#include "comm/watch.hpp"

namespace hashep::bench {

/// Measures how one MoE layer scales, in one launch: on the first 1, 2, 4 ... of the ranks
/// (RankGroup) while the others sleep, all sizes in turn and that `repeats` times, so that a drift
/// of the machine shows as spread. Strong: one batch and its experts over more and more ranks;
/// weak: the same tokens for each rank. Each measurement is a LayerCase of its own, which checks
/// tokens against the naive oracle before and after timing. Rows `strong` and `weak`, one for each
/// size and dtype: all repeats' samples, efficiency with its least and greatest over repeats, and
/// where the rest is lost (scale_loss.hpp). Prints on rank 0 and writes the JSON there. Throws
/// CollectiveInputError where sizes are not to be had, CollectiveRunError where a token is wrong,
/// and writes no JSON then. Collective.
void measure_scale(const ScaleOptions& options, const std::vector<std::string>& args,
                   const Communicator& comm, Watch& watch);

}  // namespace hashep::bench
