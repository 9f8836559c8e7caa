// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "benchmarks/sim/sim_options.hpp"

namespace hashep::bench {

/// Plays dispatch, combine and a whole layer through each transport's messages on simulated ranks,
/// once each (the simulated clock has no noise), and checks that all messages are as long as their
/// receivers' plans say. Returns result rows on rank 0, nothing elsewhere. Collective.
nlohmann::ordered_json simulate(const SimOptions& options, int ranks, int rank);

}  // namespace hashep::bench
