// SPDX-License-Identifier: Apache-2.0
#include "tests/support/device_ways.hpp"

#include "comm/exchange/hier_device_transport.hpp"
#include "comm/exchange/ipc_transport.hpp"
#include "comm/exchange/nccl_transport.hpp"
#include "tests/support/device_exchange.hpp"

namespace hashep::test {
namespace {

DeviceWay nccl(Landing landing, int parts) {
  return {std::string("nccl, ") + (landing == Landing::direct ? "direct" : "unpack") + ", " +
              std::to_string(parts) + " parts",
          [=](Ranks& ranks, const Topology&) {
            return std::make_unique<NcclTransport>(ranks.comm, ranks.watch,
                                                   ExchangeChoices{landing, parts});
          }};
}

DeviceWay ipc(int parts) {
  return {"ipc, " + std::to_string(parts) + " parts", [=](Ranks& ranks, const Topology& topology) {
            return std::make_unique<IpcTransport>(topology, ranks.comm.rank(), ranks.watch, parts);
          }};
}

DeviceWay hier(int ranks_per_node) {
  return {"hier, " + std::to_string(ranks_per_node) + " ranks a node",
          [](Ranks& ranks, const Topology& topology) {
            return std::make_unique<HierDeviceTransport>(ranks.comm, topology, ranks.watch);
          },
          ranks_per_node};
}

}  // namespace

std::vector<DeviceWay> device_ways(bool peers_reach) {
  std::vector<DeviceWay> ways = {nccl(Landing::direct, 1), nccl(Landing::direct, 3),
                                 nccl(Landing::unpack, 1), nccl(Landing::unpack, 2)};
  if (peers_reach) ways.insert(ways.end(), {ipc(1), ipc(2), hier(1), hier(2), hier(3)});
  return ways;
}

ExchangeWay exchange_way(const DeviceWay& way, bool graph) {
  return {way.name,
          [make = way.make, graph](Ranks& ranks, const Topology& topology) {
            return std::make_unique<DeviceDriver>(make(ranks, topology), ranks.watch, graph);
          },
          [size = way.ranks_per_node](int rank) { return rank / size; }};
}

}  // namespace hashep::test
