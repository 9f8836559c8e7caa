// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <span>
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/exchange/transport.hpp"
#include "comm/topology.hpp"
#include "comm/watch.hpp"
#include "hashep/backend.hpp"

namespace hashep::bench {

/// The transports that were asked for, and a line for each that `all` left out.
struct BenchTransports {
  std::vector<std::unique_ptr<Transport>> transports;
  std::vector<std::string> left_out;
};

/// Makes transports; an empty list stands for each one that this build and job can have. Throws
/// CollectiveInputError where one that is listed is not to be had. `topology` and `watch` must
/// outlive them. Collective.
BenchTransports make_transports(std::span<const TransportKind> kinds, const Communicator& comm,
                                const Topology& topology, Watch& watch, int threads);

}  // namespace hashep::bench
