// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "benchmarks/sim/sim_options.hpp"
#include "comm/communicator.hpp"
#include "comm/watch.hpp"

namespace hashep::bench {

/// Runs dispatch, combine and a whole layer through each transport on simulated ranks, once each
/// (the simulated clock has no noise), and checks every element that is delivered. Returns result
/// rows on rank 0, nothing elsewhere. Collective.
nlohmann::ordered_json simulate(const SimOptions& options, const Communicator& comm, Watch& watch);

}  // namespace hashep::bench
