// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "benchmarks/rank_options.hpp"
#include "comm/communicator.hpp"
#include "comm/watch.hpp"

namespace hashep::bench {

/// Measures dispatch and combine of each transport beside a raw MPI_Alltoallv, the plain
/// pack-exchange-unpack and a local copy of the same rows, in turn, sample by sample; checks every
/// element before and after. Prints on rank 0 and writes the JSON there. Throws CollectiveRunError
/// where an element is wrong, and writes no JSON then. Collective.
void measure_exchange(const ExchangeOptions& options, const std::vector<std::string>& args,
                      const Communicator& comm, Watch& watch);

}  // namespace hashep::bench
