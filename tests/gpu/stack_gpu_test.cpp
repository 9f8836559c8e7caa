// SPDX-License-Identifier: Apache-2.0
// Layers on a real GPU: results against the oracle, graphs against launches, steps that run while
// plans are on their way, and what a step may not do.
#include <string>

#include "tests/support/allocation_count.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/gpu_stack.hpp"

namespace hashep::test {
namespace {

/// With as much workspace as cuBLAS likes; the stand-in needs none.
CudaExecOptions real_options(const StackCase& c) {
  CudaExecOptions options = gpu_options(c);
  options.workspace_bytes = int64_t{32} << 20;
  return options;
}

void require_like_oracle(const std::vector<float>& got, const StackSteps& steps, int64_t step,
                         GemmGrouping grouping = GemmGrouping::per_expert) {
  const StackCase& c = steps.stack_case();
  INFO(c.name() << ", step " << step);
  CHECK(steps.difference(got, step, grouping).share <= 1.0);
}

TEST_CASE("a stack on a GPU agrees with the oracle, with graphs to the bit", "[small]") {
  const GemmGrouping grouping = GENERATE(GemmGrouping::per_expert, GemmGrouping::grouped);
  const auto cases = stack_cases();
  for (size_t i = 0; i < cases.size();
       i += 3) {  // all of them would take compute-sanitizer minutes
    StackCase c = cases[i];
    c.config.hidden_size = 64;  // rows of 16-byte words; other sizes are the kernels' tests
    c.config.ffn_size = 96;
    const StackSteps steps(c, 2);
    std::vector<std::vector<float>> direct;
    for (const GraphMode graph : {GraphMode::off, GraphMode::on}) {
      CudaExecOptions options = real_options(c);
      options.grouping = grouping;
      options.graph = graph;
      CudaStack stack(c.config, steps.weights(), steps.placements(), 0, options);
      stack.set_input(steps.input());
      for (int64_t step = 0; step < steps.steps(); ++step) {
        stack.prepare(steps.plan(step));
        stack.run(step);
        auto result = fetch_result(stack);
        require_like_oracle(result, steps, step, grouping);
        if (graph == GraphMode::off) {
          direct.push_back(std::move(result));
        } else {
          CHECK(result == direct[step]);
        }
      }
      CHECK(stack.graphs_captured() == (graph == GraphMode::on ? 2 : 0));
    }
  }
}

TEST_CASE("odd sizes agree with the oracle too") {
  for (const StackCase& c : stack_cases()) {  // d 24, f 40
    const StackSteps steps(c, 1);
    CudaStack stack(c.config, steps.weights(), steps.placements(), 0, real_options(c));
    stack.set_input(steps.input());
    stack.prepare(steps.plan(0));
    stack.run(0);
    require_like_oracle(fetch_result(stack), steps, 0);
  }
}

TEST_CASE("plans sent ahead of the steps that run change no bit", "[small]") {
  const StackSteps steps(full_case(), 12);
  CudaExecOptions options = real_options(steps.stack_case());
  options.graph = GENERATE(GraphMode::off, GraphMode::on);
  std::vector<std::vector<float>> alone;
  for (int64_t step = 0; step < steps.steps(); ++step) {
    CudaStack stack(steps.config(), steps.weights(), steps.placements(), 0, options);
    stack.set_input(steps.input());
    stack.prepare(steps.plan(step));
    stack.run(step);
    alone.push_back(fetch_result(stack));
  }
  CudaStack stack(steps.config(), steps.weights(), steps.placements(), 0, options);
  stack.set_input(steps.input());
  stack.prepare(steps.plan(0));
  for (int64_t step = 0; step < steps.steps(); ++step) {
    stack.run(step);
    if (step + 1 < steps.steps()) stack.prepare(steps.plan(step + 1));
    CHECK(fetch_result(stack) == alone[step]);
  }
}

TEST_CASE("a step allocates no host memory, and phases add up to it") {
  const StackSteps steps(full_case(), 3);
  CudaExecOptions options = real_options(steps.stack_case());
  options.graph = GENERATE(GraphMode::off, GraphMode::on);
  CudaStack stack(steps.config(), steps.weights(), steps.placements(), 0, options);
  stack.set_input(steps.input());
  for (int64_t step = 0; step < steps.steps(); ++step) {
    stack.prepare(steps.plan(step));
    const int64_t before = new_count();
    stack.run(step);
    const int64_t made = new_count() - before;
    wait_for_step(stack, step);
    if (step > 0) CHECK(made == 0);  // the first step of a process loads kernels
    double sum = 0.0;
    for (const PhaseSpan& span : stack.phases(step)) {
      CHECK(span.end_us >= span.begin_us);
      if (span.phase != Phase::step) sum += span.end_us - span.begin_us;
    }
    const PhaseSpan whole = stack.phases(step).back();
    // What is between phases is the recording of events.
    CHECK(sum <= whole.end_us);
    CHECK(sum > 0.5 * whole.end_us);
    CHECK(whole.end_us > 0.0);
  }
}

}  // namespace
}  // namespace hashep::test
