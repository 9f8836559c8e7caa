// SPDX-License-Identifier: Apache-2.0
// Exchanges between GPUs on the stand-in, over 1 to 4 ranks: every row in its place, and the bits
// of the exchange between CPUs.
#include "comm/transport/peer_memory.hpp"
#include "tests/standin/standin.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/device_ways.hpp"

namespace hashep::test {
namespace {

TEST_CASE("every exchange between GPUs puts every row in its place") {
  Ranks ranks;
  for (const DeviceWay& way : device_ways()) {
    for (const auto order : {standin::Order::eager, standin::Order::lazy}) {
      INFO(way.name << (order == standin::Order::lazy ? ", lazy" : ", eager"));
      standin::reset(order);
      check_rows_in_place(ranks, way, order == standin::Order::lazy);
    }
  }
}

TEST_CASE("no exchange between GPUs waits for what is asked for later") {
  Ranks ranks;
  std::mt19937 random(29);
  for (const DeviceWay& way : device_ways()) {
    INFO(way.name);
    standin::reset(standin::Order::blocking);
    check_bits_of_cpus(ranks, way, random);
    for (const int queues : {1, 2, 8}) {
      standin::reset(standin::Order::queues, queues);
      check_bits_of_cpus(ranks, way, random);
    }
  }
}

TEST_CASE("exchanges between GPUs give the bits of those between CPUs") {
  Ranks ranks;
  standin::reset(standin::Order::lazy);
  std::mt19937 random(23);
  for (const DeviceWay& way : device_ways()) {
    INFO(way.name);
    check_bits_of_cpus(ranks, way, random);
  }
}

TEST_CASE("ranks agree on whether their GPUs reach each other's memory") {
  Ranks ranks;
  const Topology topology = topology_by_label(ranks.comm, ranks.watch, 0);
  standin::reset(standin::Order::eager);
  const bool alone = ranks.comm.size() == 1;
  CHECK(peers_reach_each_other(topology.node, ranks.watch, 0));
  const int last = ranks.comm.size() - 1;
  for (const char* const call : {"cudaIpcGetMemHandle", "cudaIpcOpenMemHandle"}) {
    INFO(call);
    constexpr int kMapFailed = 205;
    if (ranks.comm.rank() == last) standin::fail(call, kMapFailed);
    // A rank alone maps nothing.
    const bool reach = peers_reach_each_other(topology.node, ranks.watch, 0);
    CHECK(reach == (alone && std::string(call) == "cudaIpcOpenMemHandle"));
    standin::reset(standin::Order::eager);
  }
  // Two GPUs, of which each rank takes one.
  standin::set_gpu_count(2);
  standin::set_peer_access(false);
  CHECK(peers_reach_each_other(topology.node, ranks.watch, ranks.comm.rank() % 2) == alone);
  standin::reset(standin::Order::eager);
}

}  // namespace
}  // namespace hashep::test
