// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "benchmarks/sim/sim_options.hpp"
#include "comm/plan/traffic.hpp"
#include "hashep/exchange_plan.hpp"
#include "hashep/node_map.hpp"

namespace hashep::bench {

/// The batch of a simulation and what one rank knows of it.
struct SimCase {
  NodeMap nodes;
  ExchangePlan plan;  // of this rank, for the whole batch, routed by the hash of uniform ids
  LayerTraffic traffic;
};

/// A pure function of its arguments: ids are known to all ranks, so there is no planning exchange.
SimCase make_sim_case(const SimOptions& options, int ep_size, int ep_rank);

}  // namespace hashep::bench
