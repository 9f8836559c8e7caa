// SPDX-License-Identifier: Apache-2.0
#include "tests/support/gpu_stack.hpp"

#include <algorithm>
#include <chrono>
#include <numeric>
#include <string>

#include "hashep/error.hpp"
#include "runtime/model/synthetic_weights.hpp"

namespace hashep::test {
namespace {

constexpr std::chrono::seconds kLongestWait{20};  // less than ctest gives a test on a GPU

std::vector<float> as_floats(ConstMatrixView x) {
  std::vector<float> values(static_cast<size_t>(x.rows * x.cols));
  convert_to_float(x.dtype, x.data, x.rows * x.cols, values.data());
  return values;
}

template <typename Ready>
void poll(Ready&& ready, const char* what) {
  const auto limit = std::chrono::steady_clock::now() + kLongestWait;
  while (!ready()) {
    if (std::chrono::steady_clock::now() > limit) {
      throw RunError(std::string("no end of ") + what);
    }
  }
}

}  // namespace

StackSteps::StackSteps(const StackCase& c, int64_t steps, const NodeMap& nodes, int ep_rank)
    : case_(c),
      rows_(split_range(c.batch_tokens, nodes.ep_size(), ep_rank)),
      weights_(make_synthetic_weights(c.config, c.dtype, kStackSeed)),
      plans_(static_cast<size_t>(steps)),
      input_(stack_input(c, nodes.ep_size(), ep_rank)) {
  const auto stream = stack_stream(c);
  routing_ = stack_routing(c, *stream, {nodes});
  const auto words = static_cast<size_t>(routing_.count_words());
  std::vector<CountWord> counts(static_cast<size_t>(nodes.ep_size()) * words);
  BatchPlan other;
  for (int64_t step = 0; step < steps; ++step) {
    BatchPlan& plan = plans_[static_cast<size_t>(step)];
    for (int rank = 0; rank < nodes.ep_size(); ++rank) {
      BatchPlan& routed = rank == ep_rank ? plan : other;
      read_batch(*stream,
                 {.batch_tokens = c.batch_tokens,
                  .seq_len = c.seq_len,
                  .ep_size = nodes.ep_size(),
                  .ep_rank = rank},
                 step, routed.batch);
      route_batch(routing_, routed,
                  std::span(counts).subspan(static_cast<size_t>(rank) * words, words));
    }
    plan.step = step;
    plan.first_token = rows_.begin;
    plan.global_tokens = c.batch_tokens;
    complete_batch(routing_, {.words = counts, .row_stride = routing_.count_words()}, ep_rank,
                   plan);
  }
}

ConstMatrixView StackSteps::input() const {
  return {input_.data(), case_.dtype, rows_.size(), case_.config.hidden_size};
}

OracleDifference StackSteps::difference(const std::vector<float>& got, int64_t step,
                                        GemmGrouping grouping) const {
  std::vector<int64_t> tokens(static_cast<size_t>(rows_.size()));
  std::iota(tokens.begin(), tokens.end(), 0);
  const auto want = oracle_stack(
      case_.config, *weights_, plan(step), {0, case_.config.num_layers}, tokens, as_floats(input()),
      {.numbers = {.dtype = case_.dtype,
                   .rounds_preactivations = grouping == GemmGrouping::grouped},
       .residual = case_.residual});
  return compare_with_oracle(got, want, case_.config.hidden_size);
}

CudaExecOptions gpu_options(const StackCase& c) {
  return {.dtype = c.dtype,
          .residual = c.residual,
          .workspace_bytes = 1024,
          .reading = {.check_finite = true}};
}

void wait_for_step(const CudaStack& stack, int64_t step) {
  poll([&] { return stack.is_done(step); }, "a step");
}

std::vector<float> fetch_result(CudaStack& stack) {
  stack.fetch();
  poll([&] { return stack.has_fetched(); }, "a result");
  return as_floats(stack.fetched());
}

StackCase full_case() {
  StackCase c = stack_cases().back();
  c.dtype = DType::f32;
  c.config.num_shared_experts = 1;
  c.config.score = Score::sqrtsoftplus;
  c.residual = true;
  return c;
}

}  // namespace hashep::test
