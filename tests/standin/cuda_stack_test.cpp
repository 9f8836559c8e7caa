// SPDX-License-Identifier: Apache-2.0
// The GPU path as a whole, on the stand-in: the same results as on the CPU, whatever the order in
// which a GPU would do what it is asked for.
#include <algorithm>
#include <array>
#include <string>

#include "comm/exchange/local_transport.hpp"
#include "hashep/error.hpp"
#include "runtime/layer/layer_stack.hpp"
#include "tests/standin/standin.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/gpu_stack.hpp"

namespace hashep::test {
namespace {

using standin::Order;

constexpr int64_t kSteps = 4;

/// Hidden states after a step on the CPU.
std::vector<float> on_cpu(const StackSteps& steps, int64_t step) {
  const StackCase& c = steps.stack_case();
  LocalGroup group(1);
  LocalTransport transport(group, 0);
  LayerStack stack(c.config, steps.weights(), steps.placements(), 0, c.residual, {.dtype = c.dtype},
                   transport);
  PhaseLog log(nullptr, 16, false);
  std::vector<std::byte> x = stack_input(c, 1, 0);
  const MatrixView rows{x.data(), c.dtype, c.batch_tokens, c.config.hidden_size};
  BatchPlan plan = steps.plan(step);
  stack.prepare(plan);
  stack.run(plan, rows, log);
  std::vector<float> values(rows.rows * rows.cols);
  convert_to_float(c.dtype, rows.data, std::ssize(values), values.data());
  return values;
}

/// The oracle's bounds hold for both.
void require_like_cpu(const std::vector<float>& got, const StackSteps& steps, int64_t step,
                      GemmGrouping grouping = GemmGrouping::per_expert) {
  const StackCase& c = steps.stack_case();
  INFO(c.name() << ", step " << step);
  CHECK(steps.difference(got, step, grouping).share <= 1.0);
  CHECK(steps.difference(on_cpu(steps, step), step).share <= 1.0);
}

/// A case with all that a layer can have, for each way to ask for GEMMs.
std::pair<StackCase, GemmGrouping> any_grouping() {
  StackCase c = full_case();
  const GemmGrouping grouping =
      GENERATE(GemmGrouping::per_expert, GemmGrouping::grouped, GemmGrouping::fused);
  if (grouping == GemmGrouping::fused) c.dtype = DType::bf16;
  return {c, grouping};
}

TEST_CASE("a stack on a GPU computes what it computes on the CPU") {
  const Order order = GENERATE(Order::eager, Order::lazy);
  const GemmGrouping grouping =
      GENERATE(GemmGrouping::per_expert, GemmGrouping::grouped, GemmGrouping::fused);
  const GraphMode graph = GENERATE(GraphMode::off, GraphMode::on);
  // All cases in the way that shows most; a part of them in the others.
  const bool all = order == Order::lazy && graph == GraphMode::on;
  const auto cases = stack_cases();
  for (size_t i = 0; i < cases.size(); i += all ? 1 : 7) {
    StackCase c = cases[i];
    if (grouping == GemmGrouping::fused) c.dtype = DType::bf16;
    standin::reset(order);
    const StackSteps steps(c, 2);
    CudaExecOptions options = gpu_options(c);
    options.grouping = grouping;
    options.graph = graph;
    CudaStack stack(c.config, steps.weights(), steps.placements(), 0, options);
    stack.set_input(steps.input());
    for (int64_t step = 0; step < steps.steps(); ++step) {
      stack.prepare(steps.plan(step));
      stack.run(step);
      require_like_cpu(fetch_result(stack), steps, step, grouping);
    }
    CHECK(stack.graphs_captured() == (graph == GraphMode::on ? 2 : 0));
  }
}

TEST_CASE("plans may be sent ahead of the steps that run") {
  standin::reset(GENERATE(Order::eager, Order::lazy, Order::blocking, Order::queues), 1);
  const auto [c, grouping] = any_grouping();
  const StackSteps steps(c, kSteps);
  CudaExecOptions options = gpu_options(c);
  options.grouping = grouping;
  options.graph = GENERATE(GraphMode::off, GraphMode::on);
  CudaStack stack(steps.config(), steps.weights(), steps.placements(), 0, options);
  stack.set_input(steps.input());
  // Later plans have more rows for some expert: memory grows while earlier ones are on their way.
  stack.prepare(steps.plan(0));
  stack.prepare(steps.plan(1));
  stack.run(0);
  stack.prepare(steps.plan(2));
  require_like_cpu(fetch_result(stack), steps, 0);
  stack.run(1);
  wait_for_step(stack, 0);
  stack.run(2);
  wait_for_step(stack, 1);
  stack.prepare(steps.plan(3));
  require_like_cpu(fetch_result(stack), steps, 2);
  stack.run(3);
  require_like_cpu(fetch_result(stack), steps, 3);
}

TEST_CASE("a step allocates nothing and waits for nothing") {
  standin::reset(Order::lazy);
  const auto [c, grouping] = any_grouping();
  const StackSteps steps(c, 3);
  CudaExecOptions options = gpu_options(c);
  options.grouping = grouping;
  options.graph = GENERATE(GraphMode::off, GraphMode::on);
  CudaStack stack(steps.config(), steps.weights(), steps.placements(), 0, options);
  stack.set_input(steps.input());
  const std::array<std::string, 11> never = {"cudaMalloc",
                                             "cudaFree",
                                             "cudaHostAlloc",
                                             "cudaFreeHost",
                                             "cudaEventQuery",
                                             "cudaStreamQuery",
                                             "cudaEventSynchronize",
                                             "cudaMemGetInfo",
                                             "cudaStreamSynchronize",
                                             "cudaDeviceSynchronize",
                                             "cublasLtMatmulAlgoGetHeuristic"};
  for (int64_t step = 0; step < steps.steps(); ++step) {
    stack.prepare(steps.plan(step));
    std::array<int64_t, never.size()> before{};
    for (size_t i = 0; i < never.size(); ++i) before[i] = standin::calls(never[i]);
    const int64_t launches = standin::calls("kernel") + standin::calls("cudaGraphLaunch");
    stack.run(step);
    CHECK(standin::calls("kernel") + standin::calls("cudaGraphLaunch") > launches);
    CHECK(standin::queued() > 0);
    for (size_t i = 0; i < never.size(); ++i) {
      INFO(never[i]);
      CHECK(standin::calls(never[i]) == before[i]);
    }
    wait_for_step(stack, step);
  }
}

TEST_CASE("phases of a step are timed, in a graph too") {
  standin::reset(GENERATE(Order::eager, Order::lazy));
  const StackSteps steps(full_case(), 2);
  CudaExecOptions options = gpu_options(steps.stack_case());
  options.graph = GENERATE(GraphMode::off, GraphMode::on);
  CudaStack stack(steps.config(), steps.weights(), steps.placements(), 0, options);
  stack.set_input(steps.input());
  for (int64_t step = 0; step < steps.steps(); ++step) {
    stack.prepare(steps.plan(step));
    stack.run(step);
    wait_for_step(stack, step);
    const auto spans = stack.phases(step);
    const std::array of_layer = {Phase::dispatch, Phase::gate, Phase::shared_experts,
                                 Phase::experts, Phase::combine};
    REQUIRE(spans.size() == 2 * of_layer.size() + 1);
    for (size_t i = 0; i + 1 < spans.size(); ++i) {
      CHECK(spans[i].phase == of_layer[i % of_layer.size()]);
      CHECK(spans[i].layer == static_cast<int64_t>(i / of_layer.size()));
      CHECK(spans[i].end_us > spans[i].begin_us);
      // Dispatch has a stream of its own, as the gate and the shared experts run beside it.
      const bool is_dispatch = spans[i].phase == Phase::dispatch;
      CHECK(spans[i].track == (is_dispatch ? 1 : 0));
      const size_t begins_after = is_dispatch || spans[i].phase == Phase::gate ? i - i % 5 : i;
      if (begins_after > 0) CHECK(spans[i].begin_us >= spans[begins_after - 1].end_us);
    }
    CHECK(spans.back().phase == Phase::step);
    CHECK(spans.back().begin_us == 0.0);
    CHECK(spans.back().end_us >= spans[spans.size() - 2].end_us);
    CHECK(stack.position(step) == Position{Phase::step, step, -1});
  }
}

TEST_CASE("the phase under way can be asked for at any time") {
  standin::reset(GENERATE(Order::eager, Order::lazy));
  const StackSteps steps(full_case(), 1);
  CudaExecOptions options = gpu_options(steps.stack_case());
  options.graph = GENERATE(GraphMode::off, GraphMode::on);
  options.plans = 1;
  CudaStack stack(steps.config(), steps.weights(), steps.placements(), 0, options);
  stack.set_input(steps.input());
  BatchPlan plan = steps.plan(0);
  for (plan.step = 0; plan.step < 3; ++plan.step) {
    stack.prepare(plan);
    stack.run(plan.step);
    // Before the GPU comes to it the events are those of the last step, or of none.
    CHECK(stack.position(plan.step).step == plan.step);
    wait_for_step(stack, plan.step);
    CHECK(stack.position(plan.step) == Position{Phase::step, plan.step, -1});
  }
}

/// The same counts with other tokens behind them: each token gets the experts of the next one.
BatchPlan with_other_tokens(BatchPlan plan) {
  for (ExchangePlan& layer : plan.layers) {
    std::rotate(layer.experts.begin(), layer.experts.begin() + layer.top_k, layer.experts.end());
    std::vector<CountWord> counts(layer.num_experts);
    count_assignments(layer.experts, counts);
    layer = make_plan(layer.experts, layer.top_k, counts,
                      contiguous_placement(layer.num_experts, 1), 0);
  }
  return plan;
}

TEST_CASE("graphs are captured when a shape comes again, and replayed for other contents") {
  standin::reset(Order::lazy);
  const StackSteps steps(full_case(), 2);
  CudaExecOptions options = gpu_options(steps.stack_case());
  options.graph = GraphMode::automatic;
  options.plans = 1;
  CudaStack stack(steps.config(), steps.weights(), steps.placements(), 0, options);
  stack.set_input(steps.input());
  const BatchPlan other = with_other_tokens(steps.plan(0));
  std::array<BatchPlan, 4> plans = {steps.plan(0), steps.plan(1), steps.plan(0), other};
  const std::array<int64_t, 4> captured = {0, 0, 1, 1};
  for (size_t i = 0; i < plans.size(); ++i) {
    plans[i].step = static_cast<int64_t>(i);
    stack.prepare(plans[i]);
    CHECK(stack.graphs_captured() == captured[i]);
    const int64_t launches = standin::calls("cudaGraphLaunch");
    stack.run(plans[i].step);
    CHECK(standin::calls("cudaGraphLaunch") - launches == (i >= 2 ? 1 : 0));
    const auto result = fetch_result(stack);
    if (i < 3) require_like_cpu(result, steps, i == 1 ? 1 : 0);
    if (i < 3) continue;
    CudaExecOptions direct = options;
    direct.graph = GraphMode::off;
    CudaStack again(steps.config(), steps.weights(), steps.placements(), 0, direct);
    again.set_input(steps.input());
    again.prepare(plans[i]);
    again.run(plans[i].step);
    CHECK(fetch_result(again) == result);
  }
}

TEST_CASE("an input may not change under a step that is prepared") {
  standin::reset(Order::lazy);
  const StackSteps steps(full_case(), 1);
  CudaStack stack(steps.config(), steps.weights(), steps.placements(), 0,
                  gpu_options(steps.stack_case()));
  stack.set_input(steps.input());
  stack.prepare(steps.plan(0));
  CHECK_THROWS_AS(stack.set_input(steps.input()), RunError);
  stack.run(0);
  stack.set_input(steps.input());
}

TEST_CASE("a step replays no graph of another step's plan arrays") {
  standin::reset(Order::lazy);
  const StackSteps steps(full_case(), 1);
  std::array<BatchPlan, 2> plans = {steps.plan(0), with_other_tokens(steps.plan(0))};
  plans[1].step = 1;
  std::array<std::vector<float>, 2> direct;
  for (const GraphMode graph : {GraphMode::off, GraphMode::on}) {
    CudaExecOptions options = gpu_options(steps.stack_case());
    options.graph = graph;
    CudaStack stack(steps.config(), steps.weights(), steps.placements(), 0, options);
    stack.set_input(steps.input());
    for (size_t i = 0; i < plans.size(); ++i) {
      stack.prepare(plans[i]);
      stack.run(plans[i].step);
      const auto result = fetch_result(stack);
      if (graph == GraphMode::off) direct[i] = result;
      CHECK(result == direct[i]);
    }
  }
  CHECK(direct[0] != direct[1]);
}

TEST_CASE("steps are refused that were not prepared, or are too many") {
  standin::reset(Order::lazy);
  const StackSteps steps(full_case(), 4);
  CudaStack stack(steps.config(), steps.weights(), steps.placements(), 0,
                  gpu_options(steps.stack_case()));
  CHECK_THROWS_AS(stack.prepare(steps.plan(0)), RunError);  // no input
  stack.set_input(steps.input());
  CHECK_THROWS_AS(stack.run(0), RunError);
  for (int64_t step = 0; step < 3; ++step) stack.prepare(steps.plan(step));
  CHECK_THROWS_AS(stack.prepare(steps.plan(3)), RunError);
  stack.run(0);
  CHECK_THROWS_AS(stack.run(0), RunError);
}

}  // namespace
}  // namespace hashep::test
