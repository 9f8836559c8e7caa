// SPDX-License-Identifier: Apache-2.0
// Stacks on the GPUs of several ranks, on the stand-in: the bits of one GPU alone, whatever the
// transport, the nodes, graphs, overlap, and the order in which GPUs do what they are asked for.
#include <algorithm>
#include <string>

#include "tests/standin/standin.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/device_stack_ways.hpp"

namespace hashep::test {
namespace {

TEST_CASE("stacks on several GPUs give the bits of one") {
  Ranks ranks;
  const auto cases = stack_cases();
  // Each way with some of the cases, which are taken in turn.
  size_t next = 0;
  for (const StackWay& way : stack_ways()) {
    for (int i = 0; i < 3; ++i) {
      const StackCase c = i == 0 ? full_case() : cases[next++ * 5 % cases.size()];
      standin::reset(standin::Order::lazy);
      const auto expected = results_alone(c, ranks.comm.size(), ranks.comm.rank(), gpu_options(c));
      standin::reset(way.graph == GraphMode::automatic ? standin::Order::eager
                                                       : standin::Order::lazy);
      check_stack_way(c, way, ranks, expected, gpu_options(c));
    }
  }
}

TEST_CASE("the gate and the shared experts compute while dispatch waits for a peer") {
  Ranks ranks;
  if (ranks.comm.size() == 1) return;
  standin::reset(standin::Order::eager);
  const std::string transport = GENERATE("unpack", "ipc");
  const Topology topology = topology_by_label(ranks.comm, ranks.watch, 0);
  const StackCase c = full_case();
  const StackSteps steps(c, 1, one_node(ranks.comm.size()), ranks.comm.rank());
  CudaStack stack(c.config, steps.weights(), steps.placements(), ranks.comm.rank(), gpu_options(c),
                  make_transport({transport}, ranks, topology));
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
