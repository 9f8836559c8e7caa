// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "benchmarks/rank_options.hpp"
#include "comm/communicator.hpp"
#include "comm/watch.hpp"

namespace hashep::bench {

/// Measures one MoE layer on all ranks, batch after batch, beside the GEMMs of the same rows with
/// nothing else (`gemm_alone`), in turn, sample by sample; checks tokens of the first and the last
/// batch against the naive oracle. Rows: `plan` (routing the next batch and completing the plan of
/// this one, beside the layer), the layer's phases, `layer`, `gemm_alone`. Prints on rank 0 and
/// writes the JSON there. Throws CollectiveRunError where a token is wrong, and writes no JSON
/// then. Collective.
void measure_layer(const LayerOptions& options, const std::vector<std::string>& args,
                   const Communicator& comm, Watch& watch);

}  // namespace hashep::bench
