// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "benchmarks/sim/sim_options.hpp"
#include "comm/plan/traffic.hpp"
#include "hashep/exchange_plan.hpp"
#include "hashep/node_map.hpp"

namespace hashep::bench {

/// The batch of a simulation and what one rank knows of it.
struct SimCase {
  NodeMap nodes;
  std::vector<int32_t> experts;  // of the whole batch, routed by the hash of uniform ids
                                 // [ep_size * tokens_per_rank, top_k]
  ExchangePlan plan;             // of this rank
  LayerTraffic traffic;
};

/// A pure function of its arguments: ids are known to all ranks, so there is no planning exchange.
SimCase make_sim_case(const SimOptions& options, int ep_size, int ep_rank);

}  // namespace hashep::bench
