// SPDX-License-Identifier: Apache-2.0
#include "tests/standin/stack_on_standin.hpp"

#include <numeric>

#include "comm/transport/local_transport.hpp"
#include "core/error.hpp"
#include "runtime/exec/layer_stack.hpp"
#include "runtime/exec/oracle_check.hpp"
#include "runtime/model/synthetic_weights.hpp"

namespace hashep::test {
namespace {

constexpr uint64_t kSeed = 5;
constexpr int kManyPolls = 1000000;

std::vector<float> as_floats(ConstMatrixView x) {
  std::vector<float> values(static_cast<size_t>(x.rows * x.cols));
  convert_to_float(x.dtype, x.data, x.rows * x.cols, values.data());
  return values;
}

}  // namespace

StackSteps::StackSteps(const StackCase& c, int64_t steps)
    : case_(c),
      weights_(make_synthetic_weights(c.config, c.dtype, kSeed)),
      plans_(static_cast<size_t>(steps)),
      input_(stack_input(c, 1, 0)) {
  const auto stream = stack_stream(c);
  routing_ = stack_routing(c, *stream, {one_node(1)});
  for (int64_t step = 0; step < steps; ++step) {
    BatchPlan& plan = plans_[static_cast<size_t>(step)];
    plan.step = step;
    plan.global_tokens = c.batch_tokens;
    read_batch(*stream, {.batch_tokens = c.batch_tokens, .seq_len = c.seq_len}, step, plan.batch);
    std::vector<int64_t> counts(static_cast<size_t>(routing_.count_words()));
    route_batch(routing_, plan, counts);
    complete_batch(routing_, {.words = counts, .row_stride = routing_.count_words()}, 0, plan);
  }
}

ConstMatrixView StackSteps::input() const {
  return {input_.data(), case_.dtype, case_.batch_tokens, case_.config.hidden_size};
}

std::vector<float> StackSteps::on_cpu(int64_t step) const {
  LocalGroup group(1);
  LocalTransport transport(group, 0);
  LayerStack stack(case_.config, *weights_, routing_.placements, 0, case_.residual,
                   {.dtype = case_.dtype}, transport);
  PhaseLog log(nullptr, 16, false);
  std::vector<std::byte> x = input_;
  const MatrixView rows{x.data(), case_.dtype, case_.batch_tokens, case_.config.hidden_size};
  stack.prepare(plan(step));
  stack.run(plan(step), rows, log);
  return as_floats(rows);
}

std::vector<float> StackSteps::by_oracle(int64_t step) const {
  std::vector<int64_t> tokens(static_cast<size_t>(case_.batch_tokens));
  std::iota(tokens.begin(), tokens.end(), 0);
  return oracle_stack(case_.config, *weights_, plan(step), tokens, as_floats(input()),
                      {.dtype = case_.dtype, .residual = case_.residual});
}

CudaExecOptions gpu_options(const StackCase& c) {
  return {.dtype = c.dtype,
          .residual = c.residual,
          .workspace_bytes = 1024,
          .reading = {.check_finite = true}};
}

void wait_for_step(const CudaStack& stack, int64_t step) {
  for (int poll = 0; !stack.is_done(step); ++poll) {
    if (poll > kManyPolls) throw RunError("the step does not end");
  }
}

std::vector<float> fetch_result(CudaStack& stack) {
  stack.fetch();
  for (int poll = 0; !stack.has_fetched(); ++poll) {
    if (poll > kManyPolls) throw RunError("the result does not come");
  }
  return as_floats(stack.fetched());
}

}  // namespace hashep::test
