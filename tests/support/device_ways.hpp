// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/exchange_suite.hpp"

namespace hashep::test {

/// A transport between GPUs.
struct DeviceWay {
  std::string name;
  std::function<std::unique_ptr<Transport>(Ranks&, const Topology&)> make;
  int ranks_per_node = 64;  // labels, not machines
};

/// All transports, in each of their ways; where GPUs do not reach each other's memory, NCCL's
/// alone.
std::vector<DeviceWay> device_ways(bool peers_reach = true);

/// The same for the suite. `graph`: each dispatch and each combine is captured and replayed.
ExchangeWay exchange_way(const DeviceWay& way, bool graph);

}  // namespace hashep::test
