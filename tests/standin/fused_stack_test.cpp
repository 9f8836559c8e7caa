// SPDX-License-Identifier: Apache-2.0
// Stacks whose experts read their counts on the GPU, on the stand-in: what one graph serves.
#include <utility>
#include <vector>

#include "hashep/error.hpp"
#include "tests/standin/standin.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/gpu_stack.hpp"

namespace hashep::test {
namespace {

using standin::Order;

/// `full_case` in bf16, with so many tokens.
StackCase fused_case(int64_t tokens) {
  StackCase c = full_case();
  c.dtype = DType::bf16;
  c.batch_tokens = tokens;
  return c;
}

/// A step's result without a graph.
std::vector<float> directly(const StackSteps& steps, int64_t step, CudaExecOptions options) {
  options.graph = GraphMode::off;
  CudaStack stack(steps.config(), steps.weights(), steps.placements(), 0, options);
  stack.set_input(steps.input());
  stack.prepare(steps.plan(step));
  stack.run(step);
  return fetch_result(stack);
}

TEST_CASE("one graph of fused experts serves steps of any counts") {
  standin::reset(Order::lazy);
  const StackSteps steps(fused_case(61), 6);
  for (int64_t step = 1; step < steps.steps(); ++step) {
    REQUIRE(steps.plan(step).layers[0].expert_offsets != steps.plan(0).layers[0].expert_offsets);
  }
  CudaExecOptions options = gpu_options(steps.stack_case());
  options.grouping = GemmGrouping::fused;
  options.graph = GraphMode::automatic;
  options.plans = 1;
  CudaStack stack(steps.config(), steps.weights(), steps.placements(), 0, options);
  stack.set_input(steps.input());
  int64_t launches = 0;
  int64_t grown = 0;
  for (int64_t step = 0; step < steps.steps(); ++step) {
    const int64_t freed = standin::calls("cudaFree");
    stack.prepare(steps.plan(step));
    if (standin::calls("cudaFree") > freed) ++grown;
    const int64_t before = standin::calls("cudaGraphLaunch");
    stack.run(step);
    launches += standin::calls("cudaGraphLaunch") - before;
    const auto result = fetch_result(stack);
    CHECK(result == directly(steps, step, options));
    CHECK(steps.difference(result, step).share <= 1.0);
  }
  // All but the first; captured once, and once more for each time that memory has moved.
  CHECK(launches == steps.steps() - 1);
  CHECK(stack.graphs_captured() <= 1 + grown);
  CHECK(stack.graphs_captured() < launches);
}

TEST_CASE("one graph of fused experts serves steps of about as many tokens") {
  standin::reset(Order::lazy);
  CudaExecOptions options = gpu_options(fused_case(64));
  options.grouping = GemmGrouping::fused;
  options.plans = 1;
  const StackSteps largest(fused_case(64), 1);
  CudaStack stack(largest.config(), largest.weights(), largest.placements(), 0, options);
  int64_t number = 0;
  const std::vector<std::pair<int64_t, bool>> tokens = {{64, false}, {61, true}, {62, true},
                                                        {64, true},  {1, false}, {63, true}};
  for (const auto& [count, is_known] : tokens) {
    INFO(count << " tokens");
    const StackSteps steps(fused_case(count), 1);
    BatchPlan plan = steps.plan(0);
    plan.step = number++;
    stack.set_input(steps.input());
    const int64_t before = standin::calls("cudaGraphLaunch");
    stack.prepare(plan);
    stack.run(plan.step);
    CHECK(standin::calls("cudaGraphLaunch") - before == (is_known ? 1 : 0));
    const auto result = fetch_result(stack);
    CHECK(std::ssize(result) == count * steps.config().hidden_size);
    CHECK(result == directly(steps, 0, options));
  }
}

TEST_CASE("fused experts are refused where there are none") {
  standin::reset(Order::lazy);
  const auto refuses = [](const StackCase& c, const char* text) {
    const StackSteps steps(c, 1);
    CudaExecOptions options = gpu_options(c);
    options.grouping = GemmGrouping::fused;
    CHECK_THROWS_WITH(CudaStack(c.config, steps.weights(), steps.placements(), 0, options),
                      ContainsSubstring(text));
  };
  refuses(full_case(), "bf16");
  StackCase odd = fused_case(8);
  odd.config.ffn_size = 44;
  refuses(odd, "multiples of 8, not 44");
}

}  // namespace
}  // namespace hashep::test
