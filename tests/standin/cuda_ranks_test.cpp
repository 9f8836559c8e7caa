// SPDX-License-Identifier: Apache-2.0
// Stacks on the GPUs of several ranks, on the stand-in: the bits of one GPU alone, whatever the
// transport, the nodes, graphs, overlap, and the order in which GPUs do what they are asked for.
#include <algorithm>
#include <string>
#include <vector>

#include "comm/transport/hier_device_transport.hpp"
#include "comm/transport/ipc_transport.hpp"
#include "comm/transport/nccl_transport.hpp"
#include "runtime/exec/oracle_check.hpp"
#include "tests/standin/standin.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/gpu_stack.hpp"
#include "tests/support/ranks.hpp"

namespace hashep::test {
namespace {

using standin::Order;

constexpr int64_t kSteps = 3;

/// One way to run a stack on all ranks.
struct Way {
  std::string transport;
  int ranks_per_node = 64;
  Order order = Order::lazy;
  GraphMode graph = GraphMode::on;
  bool overlap = true;

  std::string name() const {
    return transport + ", " + std::to_string(ranks_per_node) + " ranks a node, " +
           (order == Order::lazy ? "lazy" : "eager") + ", graph " +
           std::to_string(static_cast<int>(graph)) + (overlap ? "" : ", no overlap");
  }
};

std::unique_ptr<DeviceTransport> make(const Way& way, Ranks& ranks, const Topology& topology) {
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

std::vector<Way> ways() {
  std::vector<Way> all;
  for (const char* const transport : {"direct", "unpack", "ipc"}) {
    all.push_back({transport});
    all.push_back({transport, 64, Order::eager, GraphMode::automatic});
    all.push_back({transport, 64, Order::lazy, GraphMode::off, false});
  }
  for (const int ranks_per_node : {1, 2, 3}) all.push_back({"hier", ranks_per_node});
  all.push_back({"hier", 2, Order::eager, GraphMode::automatic});
  all.push_back({"hier", 2, Order::lazy, GraphMode::off, false});
  return all;
}

/// Waits as a runner does: a host that sleeps lets other ranks' hosts go on.
std::vector<float> result_of(CudaStack& stack, int64_t step, Watch& watch) {
  watch.wait_until(
      1, [&] { return stack.is_done(step); }, [] { return ""; });
  return fetch_result(stack);
}

/// Hidden states after each step on one GPU alone: the rows of rank `ep_rank`.
std::vector<std::vector<float>> alone(const StackCase& c, Range rows) {
  standin::reset(Order::lazy);
  const StackSteps steps(c, kSteps);
  CudaStack stack(c.config, steps.weights(), steps.placements(), 0, gpu_options(c));
  stack.set_input(steps.input());
  std::vector<std::vector<float>> results;
  for (int64_t step = 0; step < kSteps; ++step) {
    stack.prepare(steps.plan(step));
    stack.run(step);
    const auto all = fetch_result(stack);
    CHECK(max_relative_error(all, steps.by_oracle(step), c.config.hidden_size) <
          error_bound(c.dtype));
    results.emplace_back(all.begin() + rows.begin * c.config.hidden_size,
                         all.begin() + rows.end * c.config.hidden_size);
  }
  return results;
}

void check_way(const StackCase& c, const Way& way, Ranks& ranks,
               const std::vector<std::vector<float>>& expected) {
  INFO(way.name() << ", " << c.name());
  standin::reset(way.order);
  const Topology topology =
      topology_by_label(ranks.comm, ranks.watch, ranks.comm.rank() / way.ranks_per_node);
  const StackSteps steps(c, kSteps,
                         way.transport == "hier" ? topology.nodes : one_node(ranks.comm.size()),
                         ranks.comm.rank());
  CudaExecOptions options = gpu_options(c);
  options.graph = way.graph;
  options.overlap = way.overlap;
  CudaStack stack(c.config, steps.weights(), steps.placements(), ranks.comm.rank(), options,
                  make(way, ranks, topology));
  stack.set_input(steps.input());
  // The next plan is always on its way while a step runs; some grow the buffers.
  stack.prepare(steps.plan(0));
  for (int64_t step = 0; step < kSteps; ++step) {
    stack.run(step);
    if (step + 1 < kSteps) stack.prepare(steps.plan(step + 1));
    const auto got = result_of(stack, step, ranks.watch);
    CHECK(got == expected[static_cast<size_t>(step)]);
    CHECK(got.size() > 0);
  }
  if (way.graph == GraphMode::on) CHECK(stack.graphs_captured() >= kSteps);
}

TEST_CASE("stacks on several GPUs give the bits of one") {
  Ranks ranks;
  const auto cases = stack_cases();
  const auto all = ways();
  const auto own = [&](const StackCase& c) {
    return split_range(c.batch_tokens, ranks.comm.size(), ranks.comm.rank());
  };
  // All ways with a case that has all that a layer can have, and some with another one.
  const StackCase full = full_case();
  const auto expected = alone(full, own(full));
  for (size_t i = 0; i < all.size(); ++i) {
    check_way(full, all[i], ranks, expected);
    if (i % 3 != 1) continue;
    const StackCase& other = cases[i * 5 % cases.size()];
    check_way(other, all[i], ranks, alone(other, own(other)));
  }
}

TEST_CASE("the gate and the shared experts compute while dispatch waits for a peer") {
  Ranks ranks;
  if (ranks.comm.size() == 1) return;
  standin::reset(Order::eager);
  const std::string transport = GENERATE("unpack", "ipc");
  const Topology topology = topology_by_label(ranks.comm, ranks.watch, 0);
  const StackCase c = full_case();
  const StackSteps steps(c, 1, one_node(ranks.comm.size()), ranks.comm.rank());
  CudaStack stack(c.config, steps.weights(), steps.placements(), ranks.comm.rank(), gpu_options(c),
                  make({transport}, ranks, topology));
  stack.set_input(steps.input());
  stack.prepare(steps.plan(0));
  if (ranks.comm.rank() > 0) ranks.watch.barrier();
  stack.run(0);
  if (ranks.comm.rank() == 0) {
    for (int i = 0; i < 100; ++i) CHECK(!stack.is_done(0));
    CHECK(stack.position(0) == Position{Phase::dispatch, 0, 0});
    ranks.watch.barrier();
  }
  ranks.watch.wait_until(
      1, [&] { return stack.is_done(0); }, [] { return ""; });
  if (ranks.comm.rank() > 0) return;
  const auto first = [&](Phase phase) {
    const auto spans = stack.phases(0);
    return *std::find_if(spans.begin(), spans.end(),
                         [phase](const PhaseSpan& span) { return span.phase == phase; });
  };
  const PhaseSpan dispatch = first(Phase::dispatch);
  CHECK(dispatch.track == 1);
  for (const Phase phase : {Phase::gate, Phase::shared_experts}) {
    CHECK(first(phase).track == 0);
    CHECK(first(phase).begin_us >= dispatch.begin_us);
    CHECK(first(phase).end_us < dispatch.end_us);
  }
  CHECK(first(Phase::experts).begin_us >= dispatch.end_us);
}

}  // namespace
}  // namespace hashep::test
