// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "comm/exchange/transport.hpp"
#include "comm/topology.hpp"
#include "tests/support/ranks.hpp"

namespace hashep::test {

/// A transport between GPUs, and how it is driven.
struct DeviceWay {
  std::string name;
  std::function<std::unique_ptr<Transport>(Ranks&, const Topology&)> make;
  int ranks_per_node = 64;  // labels, not machines
};

/// All transports, in each of their ways; where GPUs do not reach each other's memory, NCCL's
/// alone.
std::vector<DeviceWay> device_ways(bool peers_reach = true);

/// Random exchanges: every row in its place. `graph`: captured and replayed. Collective.
void check_rows_in_place(Ranks& ranks, const DeviceWay& way, bool graph, int rounds);

/// A random exchange gives the bits of that between CPUs by MPI. Collective; `random` is alike on
/// all ranks.
void check_bits_of_cpus(Ranks& ranks, const DeviceWay& way, std::mt19937& random);

}  // namespace hashep::test
