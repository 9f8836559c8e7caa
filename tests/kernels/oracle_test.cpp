// SPDX-License-Identifier: Apache-2.0
// The oracle itself, against numbers worked out by hand.
#include "kernels/ffn/oracle.hpp"

#include <cmath>
#include <vector>

#include "tests/kernels/kernel_inputs.hpp"
#include "tests/support/catch.hpp"

namespace hashep::test {
namespace {

using Catch::Matchers::WithinRel;

Matrix matrix_of(int64_t rows, int64_t cols, const std::vector<float>& values) {
  Matrix matrix(DType::f32, rows, cols);
  matrix.set(values);
  return matrix;
}

}  // namespace

TEST_CASE("oracle_expert: relu by hand") {
  const Matrix w1 = matrix_of(2, 3, {1, 2, 3, -1, 0, 1});
  const Matrix w2 = matrix_of(3, 2, {1, 10, 2, 20, 3, 30});
  const Matrix bias1 = matrix_of(1, 2, {0.5f, -9.0f});
  const Matrix bias2 = matrix_of(1, 3, {100, 200, 300});
  const FfnShape shape{3, 2, Activation::relu};
  const std::vector<float> x{1, 1, 2};
  // w1 x = (9, 1); with bias (9.5, -8), relu (9.5, 0).
  CHECK(oracle_expert(shape, DType::f32, {w1.view(), w2.view(), {}, {}, {}, {}}, x) ==
        std::vector<float>{19, 38, 57});
  CHECK(oracle_expert(shape, DType::f32, {w1.view(), w2.view(), {}, bias1.view(), bias2.view(), {}},
                      x) == std::vector<float>{109.5f, 219, 328.5f});
}

TEST_CASE("oracle_expert: gelu and SwiGLU with its limit by hand") {
  const Matrix one = matrix_of(1, 1, {1.0f});
  const auto of = [&](Activation activation, float limit, float x, float up) {
    const Matrix w3 = matrix_of(1, 1, {up});
    FfnWeights weights{one.view(), one.view(), {}, {}, {}, {}};
    if (activation == Activation::silu) weights.w3 = w3.view();
    return oracle_expert({1, 1, activation, limit}, DType::f32, weights, std::vector{x})[0];
  };
  CHECK_THAT(of(Activation::gelu, 0.0f, 1.0f, 0.0f), WithinRel(0.8413447461, 1e-6));
  CHECK_THAT(of(Activation::gelu, 0.0f, -2.0f, 0.0f), WithinRel(-0.0455002639, 1e-6));
  // silu(2) = 1.7615941560; times up = 3 x 2.
  CHECK_THAT(of(Activation::silu, 0.0f, 2.0f, 3.0f), WithinRel(10.569564936, 1e-6));
  // Limit 1.5: gate = 1.5 (silu 1.2263617142), up = clamp(6) = 1.5.
  CHECK_THAT(of(Activation::silu, 1.5f, 2.0f, 3.0f), WithinRel(1.8395425713, 1e-6));
  // The gate has no lower bound: silu(-4) = -0.0719448398; up = clamp(-12) = -1.5.
  CHECK_THAT(of(Activation::silu, 1.5f, -4.0f, 3.0f), WithinRel(0.1079172597, 1e-6));
}

TEST_CASE("oracle_expert rounds operands, hidden activation and result to bf16") {
  // bf16 has 8 significant bits: 1 + 1/256 rounds to 1 (ties to even), 1 + 3/256 to 1 + 4/256.
  const Matrix w1 = matrix_of(1, 1, {1.0f + 1.0f / 256});
  const Matrix w2 = matrix_of(1, 1, {1.0f});
  const FfnShape shape{1, 1, Activation::relu};
  const FfnWeights weights{w1.view(), w2.view(), {}, {}, {}, {}};
  CHECK(oracle_expert(shape, DType::bf16, weights, std::vector{3.0f})[0] == 3.0f);
  CHECK(oracle_expert(shape, DType::f32, weights, std::vector{3.0f})[0] == 3.01171875f);
  // Hidden: (1 + 2/256)^2 = 1.01568603515625 rounds to 1 + 4/256; then times 1 + 2/256 gives
  // 1.0235595703125, which rounds to 1 + 6/256. Without the first rounding it would be 1.0236...
  const Matrix v1 = matrix_of(1, 1, {1.0f + 2.0f / 256});
  const FfnWeights both{v1.view(), v1.view(), {}, {}, {}, {}};
  CHECK(oracle_expert(shape, DType::bf16, both, std::vector{1.0f + 2.0f / 256})[0] ==
        1.0f + 6.0f / 256);
  // 5 x (1 + 2/256) = 5.0390625 rounds to 5.03125 (spacing 1/32); x 5 = 25.15625 rounds to 25.125
  // (spacing 1/8). Rounded at the end alone: 25.1953125 to 25.25.
  const Matrix five = matrix_of(1, 1, {5.0f});
  CHECK(oracle_expert(shape, DType::bf16, {v1.view(), five.view(), {}, {}, {}, {}},
                      std::vector{5.0f})[0] == 25.125f);
}

TEST_CASE("oracle_gate_weights by hand") {
  const Matrix gate = matrix_of(3, 2, {1, 1, 0, 0, 2, -1});
  const std::vector<int32_t> experts{2, -1, 1};
  const std::vector<float> x{1, 1};
  // z = (1, 0): softplus 1.3132616875 and 0.6931471806; s = 1.1459763035 and 0.8325546112.
  const std::vector<float> weights = oracle_gate_weights(gate.view(), experts, 1.5f, x);
  CHECK_THAT(weights[0], WithinRel(1.5 * 1.1459763035 / 1.9785309147, 1e-6));
  CHECK(weights[1] == 0.0f);
  CHECK_THAT(weights[2], WithinRel(1.5 * 0.8325546112 / 1.9785309147, 1e-6));
}

}  // namespace hashep::test
