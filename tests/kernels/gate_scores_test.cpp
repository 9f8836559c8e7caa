// SPDX-License-Identifier: Apache-2.0
#include "kernels/gate/gate_scores.hpp"

#include <cmath>
#include <vector>

#include "hashep/error.hpp"
#include "kernels/ffn/oracle.hpp"
#include "tests/kernels/kernel_inputs.hpp"
#include "tests/support/catch.hpp"

namespace hashep::test {
namespace {

using Catch::Matchers::WithinRel;

constexpr int64_t kExperts = 10;

std::vector<int32_t> some_experts(int64_t tokens, int top_k) {
  std::vector<int32_t> experts;
  for (int64_t token = 0; token < tokens; ++token) {
    for (int j = 0; j < top_k; ++j) {
      experts.push_back(token % 6 == 4 ? -1 : static_cast<int32_t>((token * 3 + j) % kExperts));
    }
  }
  return experts;
}

}  // namespace

TEST_CASE("gate_weights agrees with the oracle, is zero for padding, same on any threads") {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const int64_t d : {1, 7, 16, 1023}) {
      for (const int top_k : {1, 6}) {
        const int64_t tokens = 100;
        const Matrix x = random_matrix(dtype, tokens, d, 1);
        const Matrix gate =
            random_matrix(DType::f32, kExperts, d, 2, 1.0f / std::sqrt(static_cast<float>(d)));
        const std::vector<int32_t> experts = some_experts(tokens, top_k);
        std::vector<float> first(experts.size(), NAN);
        gate_weights(x.view(), gate.view(), experts, top_k, 1.5f, first, 1);
        double worst = 0.0;
        for (int64_t token = 0; token < tokens; ++token) {
          const auto begin = static_cast<size_t>(token * top_k);
          const std::vector<float> expected = oracle_gate_weights(
              gate.view(), std::span(experts).subspan(begin, top_k), 1.5f, x.row(token));
          for (size_t j = 0; j < expected.size(); ++j) {
            if (experts[begin + j] < 0) {
              CHECK(first[begin + j] == 0.0f);
            } else {
              worst = std::max(worst, std::abs(first[begin + j] / double{expected[j]} - 1.0));
            }
          }
        }
        CHECK(worst < 1e-5);
        for (const int threads : {2, 3}) {
          std::vector<float> again(experts.size(), NAN);
          gate_weights(x.view(), gate.view(), experts, top_k, 1.5f, again, threads);
          CHECK(again == first);
        }
      }
    }
  }
}

TEST_CASE("a token's gate weights do not depend on the tokens beside it") {
  const Matrix x = random_matrix(DType::f32, 40, 33, 1);
  const Matrix gate = random_matrix(DType::f32, kExperts, 33, 2);
  const std::vector<int32_t> experts = some_experts(40, 2);
  std::vector<float> whole(experts.size());
  gate_weights(x.view(), gate.view(), experts, 2, 1.0f, whole, 1);
  std::vector<float> cut(experts.size());
  for (int64_t token = 0; token < 40; ++token) {
    const auto begin = static_cast<size_t>(token * 2);
    gate_weights(x.view().slice(token, 1), gate.view(), std::span(experts).subspan(begin, 2), 2,
                 1.0f, std::span(cut).subspan(begin, 2), 1);
  }
  CHECK(cut == whole);
}

TEST_CASE("gate scores of huge logits of both signs stay finite and right") {
  // d = 1, so the logits are the gate's elements: s = sqrt(softplus(z)).
  Matrix gate(DType::f32, 4, 1);
  gate.set({400.0f, -60.0f, 0.0f, -300.0f});
  Matrix x(DType::f32, 2, 1);
  x.set({1.0f, 1.0f});
  std::vector<float> weights(4);
  gate_weights(x.view(), gate.view(), std::vector<int32_t>{0, 2, 1, 3}, 2, 1.0f, weights, 1);
  // sqrt(400) = 20 against sqrt(log 2) = 0.8325546.
  CHECK_THAT(weights[0], WithinRel(20.0 / 20.8325546, 1e-5));
  CHECK_THAT(weights[1], WithinRel(0.8325546 / 20.8325546, 1e-5));
  // sqrt(e^-60) = e^-30 against nothing that fp32 can hold: 9.3576e-14 / (9.3576e-14 + 1e-20).
  CHECK_THAT(weights[2], WithinRel(1.0, 1e-5));
  CHECK(weights[3] >= 0.0f);
  CHECK(weights[3] < 1e-30f);
}

TEST_CASE("gate_weights refuses shapes that do not fit") {
  const Matrix x = random_matrix(DType::f32, 2, 7, 1);
  const Matrix gate = random_matrix(DType::f32, 4, 6, 1);
  std::vector<float> weights(2);
  const std::vector<int32_t> experts{0, 1};
  CHECK_THROWS_AS(gate_weights(x.view(), gate.view(), experts, 1, 1.0f, weights, 1), RunError);
  const Matrix fitting = random_matrix(DType::f32, 4, 7, 1);
  CHECK_THROWS_AS(gate_weights(x.view(), fitting.view(), experts, 2, 1.0f, weights, 1), RunError);
}

}  // namespace hashep::test
