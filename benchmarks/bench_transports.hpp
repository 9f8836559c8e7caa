// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
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

  /// Lines for the head of a table; `note` follows the names.
  std::string lines(const std::string& note = "") const;
};

/// Makes transports for ranks on CPUs; an empty list stands for each one that this build and job
/// can have. Throws CollectiveInputError where one that is listed is not to be had. `topology` and
/// `watch` must outlive them. Collective.
BenchTransports make_transports(std::span<const TransportKind> kinds, const Communicator& comm,
                                const Topology& topology, Watch& watch, int threads);

/// The same with any `make`, which throws InputError, on all ranks alike, where a transport is not
/// to be had: `known` instead of an empty list.
BenchTransports make_transports(
    std::span<const TransportKind> kinds, std::span<const TransportKind> known,
    const Communicator& comm, const std::function<std::unique_ptr<Transport>(TransportKind)>& make);

}  // namespace hashep::bench
