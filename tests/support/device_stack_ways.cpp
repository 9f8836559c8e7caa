// SPDX-License-Identifier: Apache-2.0
#include "tests/support/device_stack_ways.hpp"

#include <algorithm>

#include "comm/exchange/hier_device_transport.hpp"
#include "comm/exchange/ipc_transport.hpp"
#include "comm/exchange/nccl_transport.hpp"
#include "tests/support/catch.hpp"

namespace hashep::test {
namespace {

constexpr int64_t kSteps = 3;

/// Waits as a runner does: a host that sleeps lets other ranks' hosts go on.
std::vector<float> result_of(CudaStack& stack, int64_t step, Watch& watch) {
  watch.wait_until(
      1, [&] { return stack.is_done(step); }, [] { return ""; });
  return fetch_result(stack);
}

}  // namespace

std::string StackWay::name() const {
  return transport + ", " + std::to_string(ranks_per_node) + " ranks a node, graph " +
         std::to_string(static_cast<int>(graph)) + (overlap ? "" : ", no overlap");
}

std::vector<StackWay> stack_ways(bool peers_reach) {
  std::vector<StackWay> all;
  for (const std::string transport : {"direct", "unpack", "ipc"}) {
    if (transport == "ipc" && !peers_reach) return all;
    all.push_back({transport});
    all.push_back({transport, 64, GraphMode::automatic});
    all.push_back({transport, 64, GraphMode::off});
    all.push_back({transport, 64, GraphMode::off, false});
  }
  for (const int ranks_per_node : {1, 2, 3}) all.push_back({"hier", ranks_per_node});
  all.push_back({"hier", 2, GraphMode::automatic});
  all.push_back({"hier", 2, GraphMode::off});
  all.push_back({"hier", 2, GraphMode::off, false});
  return all;
}

std::unique_ptr<Transport> make_transport(const StackWay& way, Ranks& ranks,
                                          const Topology& topology) {
  if (way.transport == "ipc") {
    return std::make_unique<IpcTransport>(topology, ranks.comm.rank(), ranks.watch,
                                          way.overlap ? 2 : 1);
  }
  if (way.transport == "hier") {
    return std::make_unique<HierDeviceTransport>(ranks.comm, topology, ranks.watch);
  }
  const Landing landing = way.transport == "direct" ? Landing::direct : Landing::unpack;
  return std::make_unique<NcclTransport>(ranks.comm, ranks.watch,
                                         ExchangeChoices{landing, way.overlap ? 2 : 1});
}

StepResults results_alone(const StackCase& c, int ep_size, int ep_rank,
                          const CudaExecOptions& options) {
  const Range rows = split_range(c.batch_tokens, ep_size, ep_rank);
  const StackSteps steps(c, kSteps);
  CudaStack stack(c.config, steps.weights(), steps.placements(), 0, options);
  stack.set_input(steps.input());
  StepResults results;
  for (int64_t step = 0; step < kSteps; ++step) {
    stack.prepare(steps.plan(step));
    stack.run(step);
    const auto all = fetch_result(stack);
    CHECK(steps.difference(all, step, options.grouping).share <= 1.0);
    results.emplace_back(all.begin() + rows.begin * c.config.hidden_size,
                         all.begin() + rows.end * c.config.hidden_size);
  }
  return results;
}

void check_stack_way(const StackCase& c, const StackWay& way, Ranks& ranks,
                     const StepResults& expected, CudaExecOptions options) {
  INFO(way.name() << ", " << c.name());
  const Topology topology =
      topology_by_label(ranks.comm, ranks.watch, ranks.comm.rank() / way.ranks_per_node);
  const StackSteps steps(c, kSteps,
                         way.transport == "hier" ? topology.nodes : one_node(ranks.comm.size()),
                         ranks.comm.rank());
  options.graph = way.graph;
  options.overlap = way.overlap;
  CudaStack stack(c.config, steps.weights(), steps.placements(), ranks.comm.rank(), options,
                  make_transport(way, ranks, topology));
  stack.set_input(steps.input());
  int64_t prepared = 0;
  const auto prepare_to = [&](int64_t end) {
    for (; prepared < std::min(end, kSteps); ++prepared) stack.prepare(steps.plan(prepared));
  };
  // As many plans as may be are on their way before a step and while it runs; some grow the
  // buffers.
  for (int64_t step = 0; step < kSteps; ++step) {
    prepare_to(step + std::max(1, options.plans - 1));
    stack.run(step);
    prepare_to(step + options.plans);
    const auto got = result_of(stack, step, ranks.watch);
    CHECK(got == expected[step]);
    CHECK(got.size() > 0);
  }
  if (way.graph == GraphMode::on) CHECK(stack.graphs_captured() >= kSteps);
}

}  // namespace hashep::test
