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

CudaExecOptions options_for(const StackCase& c, GemmGrouping grouping) {
  CudaExecOptions options = gpu_options(c);
  options.grouping = grouping;
  return options;
}

StepResults alone(const StackCase& c, const Ranks& ranks,
                  GemmGrouping grouping = GemmGrouping::per_expert) {
  standin::reset(standin::Order::lazy);
  return results_alone(c, ranks.comm.size(), ranks.comm.rank(), options_for(c, grouping));
}

standin::Order order_of(GraphMode graph) {
  if (graph == GraphMode::automatic) return standin::Order::eager;
  return graph == GraphMode::on ? standin::Order::lazy : standin::Order::newest_first;
}

void check_way(const StackCase& c, const StackWay& way, Ranks& ranks, const StepResults& expected,
               GemmGrouping grouping = GemmGrouping::per_expert) {
  standin::reset(order_of(way.graph));
  check_stack_way(c, way, ranks, expected, options_for(c, grouping));
  CHECK(standin::freed_while_held() == 0);
}

TEST_CASE("stacks on several GPUs give the bits of one") {
  Ranks ranks;
  const auto cases = stack_cases();
  const auto all = stack_ways();
  // All ways with a case that has all that a layer can have, and some with another one.
  const StackCase full = full_case();
  const auto expected = alone(full, ranks);
  for (size_t i = 0; i < all.size(); ++i) {
    check_way(full, all[i], ranks, expected);
    if (i % 3 != 1) continue;
    const StackCase& other = cases[i * 5 % cases.size()];
    check_way(other, all[i], ranks, alone(other, ranks));
  }
}

TEST_CASE("fused experts on several GPUs give the bits of one") {
  Ranks ranks;
  if (ranks.comm.size() == 1) return;
  StackCase c = full_case();
  c.dtype = DType::bf16;
  c.config.activation = Activation::silu;
  const auto expected = alone(c, ranks, GemmGrouping::fused);
  const auto all = stack_ways();
  for (size_t i = 0; i < all.size(); ++i) {
    if (all[i].transport != "ipc" && i % 8 != 0) continue;
    check_way(c, all[i], ranks, expected, GemmGrouping::fused);
  }
}

TEST_CASE(
    "one graph of fused experts serves steps of any counts, where a node's GPUs reach each other") {
  Ranks ranks;
  standin::reset(standin::Order::lazy);
  StackCase c = full_case();
  c.dtype = DType::bf16;
  constexpr int64_t kSteps = 6;
  const StackSteps steps(c, kSteps, one_node(ranks.comm.size()), ranks.comm.rank());
  CudaExecOptions options = options_for(c, GemmGrouping::fused);
  options.plans = 1;
  const Topology topology = topology_by_label(ranks.comm, ranks.watch, 0);
  CudaStack stack(c.config, steps.weights(), steps.placements(), ranks.comm.rank(), options,
                  make_transport({"ipc"}, ranks, topology));
  stack.set_input(steps.input());
  for (int64_t step = 0; step < kSteps; ++step) {
    stack.prepare(steps.plan(step));
    const int64_t before = standin::calls("cudaGraphLaunch");
    stack.run(step);
    CHECK(standin::calls("cudaGraphLaunch") - before == (step == 0 ? 0 : 1));
    ranks.watch.wait_until(
        1, [&] { return stack.is_done(step); }, [] { return ""; });
  }
}

TEST_CASE("stacks on several GPUs wait for nothing that is asked for later") {
  Ranks ranks;
  if (ranks.comm.size() == 1) return;
  const StackCase c = full_case();
  const auto expected = alone(c, ranks);
  const auto all = stack_ways();
  for (size_t i = 0; i < all.size(); ++i) {
    standin::reset(i % 2 == 0 ? standin::Order::blocking : standin::Order::queues, 1);
    check_stack_way(c, all[i], ranks, expected, gpu_options(c));
    if (all[i].graph != GraphMode::on || ranks.comm.size() > 2) continue;
    // Branches of a graph stand in any queue.
    standin::reset(standin::Order::queues, i % 3 == 0 ? 8 : 2);
    check_stack_way(c, all[i], ranks, expected, gpu_options(c));
  }
}

/// A case of which, on some rank, two steps in turn are of equal shapes and yet have messages of
/// other sizes.
StackCase case_of_unequal_messages(int ep_size) {
  StackCase c;
  c.config = {.num_layers = 1,
              .hidden_size = 24,
              .ffn_size = 40,
              .num_experts = ep_size,
              .top_k = 1,
              .vocab_size = 300,
              .score = Score::none,
              .router = RouterKind::token};
  c.batch_tokens = 4 * ep_size;
  for (c.config.router_seed = 1; c.config.router_seed < 1000; ++c.config.router_seed) {
    for (int rank = 0; rank < ep_size; ++rank) {
      const StackSteps steps(c, 2, one_node(ep_size), rank);
      const ExchangePlan& first = steps.plan(0).layers.front();
      const ExchangePlan& second = steps.plan(1).layers.front();
      if (first.expert_offsets == second.expert_offsets &&
          first.send_counts != second.send_counts) {
        return c;
      }
    }
  }
  throw RunError("no such case");
}

TEST_CASE("a graph is not replayed for messages of other sizes") {
  Ranks ranks;
  if (ranks.comm.size() == 1) return;
  const StackCase c = case_of_unequal_messages(ranks.comm.size());
  const auto expected = alone(c, ranks);
  CudaExecOptions options = gpu_options(c);
  options.plans = 1;  // all steps are of one slot
  for (const char* const transport : {"direct", "unpack"}) {
    standin::reset(standin::Order::lazy);
    check_stack_way(c, {transport}, ranks, expected, options);
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
