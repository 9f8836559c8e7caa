// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "benchmarks/rank_options.hpp"
#include "comm/communicator.hpp"
#include "comm/watch.hpp"

namespace hashep::bench {

/// Measures MoE layers on all ranks, batch after batch, with all that is asked for: each dtype,
/// size and transport by itself, ways of planning and yardsticks in turn, sample by sample. Checks
/// tokens of the first and the last batch against the naive oracle, and that all ways of planning
/// give the same bits. Rows: see kLayerColumns. Prints on rank 0 and writes the JSON there. Throws
/// CollectiveRunError where a token is wrong, and writes no JSON then. Collective.
void measure_layer(const LayerOptions& options, const std::vector<std::string>& args,
                   const Communicator& comm, Watch& watch);

}  // namespace hashep::bench
