// SPDX-License-Identifier: Apache-2.0
#include "tests/support/device_ways.hpp"

#include "comm/exchange/hier_device_transport.hpp"
#include "comm/exchange/ipc_transport.hpp"
#include "comm/exchange/mpi_transport.hpp"
#include "comm/exchange/nccl_transport.hpp"
#include "core/random.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/device_exchange.hpp"
#include "tests/support/transport_cases.hpp"

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

/// Random values that no order of sums or rounding leaves alone.
std::vector<std::byte> random_values(DType dtype, int64_t rows, int64_t cols, uint64_t key) {
  std::vector<float> values(static_cast<size_t>(rows * cols));
  fill_normal(key, 0, values);
  std::vector<std::byte> bytes(values.size() * static_cast<size_t>(dtype_size(dtype)));
  convert_from_float(values.data(), std::ssize(values), dtype, bytes.data());
  return bytes;
}

/// Dispatches and combines random rows with random weights; what experts would do is left out.
std::vector<std::byte> exchange_once(ExchangeDriver& driver, const ExchangePlan& plan, DType dtype,
                                     int64_t hidden_size) {
  const auto key = static_cast<uint64_t>(plan.ep_rank);
  const auto x = random_values(dtype, plan.tokens, hidden_size, key);
  const auto shared = random_values(dtype, plan.tokens, hidden_size, key + 100);
  std::vector<float> weights(plan.experts.size());
  fill_normal(key + 200, 0, weights);
  std::vector<std::byte> y(x.size(), std::byte{0xff});
  driver.begin(plan, dtype, hidden_size);
  driver.dispatch({x.data(), dtype, plan.tokens, hidden_size});
  driver.combine(weights, {shared.data(), dtype, plan.tokens, hidden_size},
                 {y.data(), dtype, plan.tokens, hidden_size});
  return y;
}

Topology topology_of(Ranks& ranks, const DeviceWay& way) {
  return topology_by_label(ranks.comm, ranks.watch, ranks.comm.rank() / way.ranks_per_node);
}

}  // namespace

std::vector<DeviceWay> device_ways(bool peers_reach) {
  std::vector<DeviceWay> ways = {nccl(Landing::direct, 1), nccl(Landing::direct, 3),
                                 nccl(Landing::unpack, 1), nccl(Landing::unpack, 2)};
  if (peers_reach) ways.insert(ways.end(), {ipc(1), ipc(2), hier(1), hier(2), hier(3)});
  return ways;
}

void check_rows_in_place(Ranks& ranks, const DeviceWay& way, bool graph, int rounds) {
  const Topology topology = topology_of(ranks, way);
  const bool across = topology.nodes.num_nodes() > 1;
  DeviceDriver driver(way.make(ranks, topology), ranks.watch, graph);
  const NodeMap* const nodes = across ? &topology.nodes : nullptr;
  const Moved moved = check_random_exchanges(ranks, driver, {.nodes = nodes, .rounds = rounds});
  CHECK(moved.rows > 0);
  CHECK((moved.rows_off_rank > 0) == (ranks.comm.size() > 1));
  CHECK((moved.rows_off_node > 0) == across);
}

void check_bits_of_cpus(Ranks& ranks, const DeviceWay& way, std::mt19937& random) {
  const Topology topology = topology_of(ranks, way);
  DeviceDriver on_gpu(way.make(ranks, topology), ranks.watch, true);
  MpiTransport transport(ranks.comm, ranks.watch, 1);
  HostDriver on_cpu(transport);
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const int64_t hidden_size : {24, 7}) {
      std::vector<int64_t> tokens;
      for (int rank = 0; rank < ranks.comm.size(); ++rank) tokens.push_back(20 + 9 * rank);
      const auto routing = random_routing(random, ranks.comm.size(), 10, 6, tokens, Skew::uniform);
      const Placement placement = contiguous_placement(10, ranks.comm.size());
      const ExchangePlan plan = topology.nodes.num_nodes() > 1
                                    ? routing.plan(placement, ranks.comm.rank(), topology.nodes)
                                    : routing.plan(placement, ranks.comm.rank());
      const auto got = exchange_once(on_gpu, plan, dtype, hidden_size);
      CHECK(got == exchange_once(on_cpu, plan, dtype, hidden_size));
      CHECK(!got.empty());
    }
  }
}

}  // namespace hashep::test
