// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "benchmarks/rank_options.hpp"
#include "comm/communicator.hpp"
#include "comm/watch.hpp"

namespace hashep::bench {

/// measure_exchange between GPUs, one a rank: the transports beside a raw group of NCCL's messages,
/// the plain pack-exchange-unpack, NCCL's own all-to-all and a copy within each GPU's memory.
/// Throws CollectiveInputError where this build has no CUDA, or not each rank a GPU. Collective.
void measure_device_exchange(const ExchangeOptions& options, const std::vector<std::string>& args,
                             const Communicator& comm, Watch& watch);

}  // namespace hashep::bench
