// SPDX-License-Identifier: Apache-2.0
#include <limits>
#include <numeric>

#include "comm/exchange/local_transport.hpp"
#include "runtime/layer/oracle_check.hpp"
#include "runtime/layer/stream_planner.hpp"
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
std::vector<Bounded> oracle_of(const test::StackCase& c) {
  const auto stream = test::stack_stream(c);
  const test::CaseRouting routing = test::stack_routing(c, *stream, {one_node(1)});
  PhaseLog log(nullptr, 4, false);
  StreamPlanner planner(routing.geometry, *routing.router, *stream,
                        {.batch_tokens = c.batch_tokens, .seq_len = c.seq_len},
                        {.planning = Planning::replicated}, std::nullopt, log);
  planner.begin();
  const BatchPlan& plan = planner.take();
  std::vector<int64_t> tokens(c.batch_tokens);
  std::iota(tokens.begin(), tokens.end(), 0);
  constexpr uint64_t kSeed = 5;  // of local_stack.cpp
  const auto weights = make_synthetic_weights(c.config, c.dtype, kSeed);
  return oracle_stack(c.config, *weights, plan, {0, c.config.num_layers}, tokens,
                      as_floats(test::stack_input(c, 1, 0), c.dtype),
                      {.numbers = {c.dtype}, .residual = c.residual});
}

}  // namespace

TEST_CASE("outputs agree with the naive oracle: 1e-5 in fp32, 1e-2 in bf16, without residual too") {
  for (test::StackCase c : test::stack_cases()) {
    for (const bool residual : {true, false}) {
      c.residual = residual;
      INFO(c.name() << (residual ? ", residual" : ", no residual"));
      const auto want = oracle_of(c);
      const auto got = as_floats(test::run_stack_locally(c, 3), c.dtype);
      const auto difference = compare_with_oracle(got, want, c.config.hidden_size);
      CHECK(difference.share <= 1.0);
      CHECK(difference.relative_error < (c.dtype == DType::f32 ? 1e-5 : 1e-2));
      // Not because all is zero.
      double norm = 0.0;
      for (const Bounded& each : want) norm += each.value * each.value;
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

TEST_CASE("a comparison sees what rounding does not explain, and where") {
  const std::vector<Bounded> want = {
      {3.0, 0.0, 0.1}, {4.0, 0.01, 0.0}, {0.0, 0.0, 0.0}, {1.0, 0.0, 0.0}};
  const auto compare = [&](const std::vector<float>& got) {
    return compare_with_oracle(got, want, 2);
  };
  const auto equal = compare({3.0f, 4.0f, 0.0f, 1.0f});
  CHECK(equal.share == 0.0);
  CHECK(equal.relative_error == 0.0);
  const auto near = compare({3.0625f, 4.0f, 0.0f, 1.0f});
  CHECK(near.is_explained());
  CHECK_THAT(near.share, Catch::Matchers::WithinRel(0.625, 1e-12));
  CHECK(near.relative_error == 0.0125);
  const auto far = compare({3.0f, 4.5f, 0.0f, 1.0f});
  CHECK_THAT(far.share, Catch::Matchers::WithinRel(0.5 / (0.01 * Bounded::kSpreads), 1e-12));
  CHECK(far.relative_error == 0.1);
  CHECK(far.row == 0);
  CHECK(far.col == 1);
  CHECK_THAT(far.text(), ContainsSubstring("element 1 is 4.5, the naive oracle has 4, and"));
  CHECK_FALSE(compare({3.0f, 4.0f, 1e-30f, 1.0f}).is_explained());
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  const auto nan = compare({3.0f, 4.0f, 0.0f, kNan});
  CHECK(nan.share == std::numeric_limits<double>::infinity());
  CHECK(nan.row == 1);
  // A bound that is no number explains nothing.
  CHECK_FALSE(compare_with_oracle(std::vector{1.0f}, std::vector<Bounded>{{1.0, kNan, 0.0}}, 1)
                  .is_explained());
}
