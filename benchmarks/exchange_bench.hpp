// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "benchmarks/exchange_setup.hpp"
#include "benchmarks/rank_options.hpp"
#include "comm/communicator.hpp"
#include "comm/watch.hpp"

namespace hashep::bench {

/// Measures dispatch and combine of each transport, between CPUs or between GPUs, beside raw
/// messages of the same rows, the plain pack-exchange-unpack and a local copy, in turn, sample by
/// sample; checks every element before and after. Prints on rank 0 and writes the JSON there.
/// Throws CollectiveRunError where an element is wrong, and writes no JSON then, and what
/// `make_setup` throws. Collective.
void measure_exchange(const ExchangeOptions& options, MakeExchangeSetup& make_setup,
                      const std::vector<std::string>& args, const Communicator& comm, Watch& watch);

}  // namespace hashep::bench
