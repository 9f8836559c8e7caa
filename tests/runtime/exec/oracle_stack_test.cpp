// SPDX-License-Identifier: Apache-2.0
#include <limits>
#include <numeric>

#include "comm/transport/local_transport.hpp"
#include "runtime/exec/oracle_check.hpp"
#include "runtime/exec/plan_pipeline.hpp"
#include "runtime/model/synthetic_weights.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/local_stack.hpp"

using namespace hashep;

namespace {

std::vector<float> as_floats(const std::vector<std::byte>& bytes, DType dtype) {
  std::vector<float> values(bytes.size() / static_cast<size_t>(dtype_size(dtype)));
  convert_to_float(dtype, bytes.data(), static_cast<int64_t>(values.size()), values.data());
  return values;
}

/// What the oracle makes of all tokens of a case.
std::vector<float> oracle_of(const test::StackCase& c) {
  const auto stream = test::stack_stream(c);
  const StackRouting routing = test::stack_routing(c, *stream, {one_node(1)});
  PhaseLog log(nullptr, 4, false);
  PlanPipeline pipeline(routing, *stream, {.batch_tokens = c.batch_tokens, .seq_len = c.seq_len},
                        {.planning = Planning::replicated}, nullptr, nullptr);
  pipeline.start(0, log);
  const BatchPlan& plan = pipeline.finish(log);
  std::vector<int64_t> tokens(static_cast<size_t>(c.batch_tokens));
  std::iota(tokens.begin(), tokens.end(), 0);
  constexpr uint64_t kSeed = 5;  // of local_stack.cpp
  const auto weights = make_synthetic_weights(c.config, c.dtype, kSeed);
  return oracle_stack(c.config, *weights, plan, tokens,
                      as_floats(test::stack_input(c, 1, 0), c.dtype),
                      {.dtype = c.dtype, .residual = c.residual});
}

}  // namespace

TEST_CASE("outputs agree with the naive oracle: 1e-5 in fp32, 1e-2 in bf16, without residual too") {
  for (test::StackCase c : test::stack_cases()) {
    for (const bool residual : {true, false}) {
      c.residual = residual;
      INFO(c.name() << (residual ? ", residual" : ", no residual"));
      const auto want = oracle_of(c);
      const auto got = as_floats(test::run_stack_locally(c, 3), c.dtype);
      const double error = max_relative_error(got, want, c.config.hidden_size);
      CHECK(error < error_bound(c.dtype));
      // Not because all is zero.
      double norm = 0.0;
      for (const float value : want) norm += static_cast<double>(value) * value;
      CHECK(norm > 0.01);
    }
  }
}

TEST_CASE("padding tokens come out as zero without a residual and unchanged with one") {
  test::StackCase c = test::stack_cases().front();
  const auto width = static_cast<size_t>(c.config.hidden_size);
  c.residual = false;
  const auto zeros = as_floats(test::run_stack_locally(c, 2), c.dtype);
  c.residual = true;
  const auto kept = as_floats(test::run_stack_locally(c, 2), c.dtype);
  const auto input = as_floats(test::stack_input(c, 1, 0), c.dtype);
  for (size_t i = 4 * width; i < 5 * width; ++i) {  // token 4 is padding
    CHECK(zeros[i] == 0.0f);
    CHECK(kept[i] == input[i]);
  }
  CHECK(zeros[0] != 0.0f);
}

TEST_CASE("the relative error sees a wrong row, a NaN and nothing where all is equal") {
  const std::vector<float> want = {3.0f, 4.0f, 0.0f, 0.0f};
  CHECK(max_relative_error(want, want, 2) == 0.0);
  CHECK(max_relative_error(std::vector<float>{3.0f, 4.5f, 0.0f, 0.0f}, want, 2) == 0.1);
  CHECK(max_relative_error(std::vector<float>{3.0f, 4.0f, 0.0f, 1.0f}, want, 2) ==
        std::numeric_limits<double>::infinity());
  const float nan = std::numeric_limits<float>::quiet_NaN();
  CHECK(max_relative_error(std::vector<float>{nan, 4.0f, 0.0f, 0.0f}, want, 2) ==
        std::numeric_limits<double>::infinity());
}
