// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>

#include "kernels/ffn/oracle.hpp"
#include "tests/kernels/kernel_cases.hpp"
#include "tests/kernels/kernel_inputs.hpp"
#include "tests/support/catch.hpp"

namespace hashep::test {
namespace {

constexpr int64_t kExperts = 70;
constexpr float kScale = 1.5f;

/// Every sixth token is padding, every ninth has one choice less.
std::vector<int32_t> some_experts(int64_t tokens, int top_k) {
  std::vector<int32_t> experts;
  for (int64_t token = 0; token < tokens; ++token) {
    for (int j = 0; j < top_k; ++j) {
      const bool absent = token % 6 == 4 || (token % 9 == 8 && j == 0);
      experts.push_back(absent ? -1 : static_cast<int32_t>((token * 3 + j * 11) % kExperts));
    }
  }
  return experts;
}

Matrix some_gate(int64_t d) {
  return random_matrix(DType::f32, kExperts, d, 2, 1.0f / std::sqrt(static_cast<float>(d)));
}

/// How far `weights` are from the oracle's, relative to each; infinite where one is no number or a
/// choice without an expert has not 0.
double worst_error(const std::vector<float>& weights, const Matrix& x, const Matrix& gate,
                   const std::vector<int32_t>& experts, int top_k) {
  double worst = 0.0;
  const auto choices = static_cast<size_t>(top_k);
  for (size_t begin = 0; begin < experts.size(); begin += choices) {
    const std::vector<float> expected =
        oracle_gate_weights(gate.view(), std::span(experts).subspan(begin, choices), kScale,
                            x.row(static_cast<int64_t>(begin / choices)));
    for (size_t j = 0; j < choices; ++j) {
      const double error = experts[begin + j] < 0
                               ? std::abs(double{weights[begin + j]})
                               : std::abs(weights[begin + j] / double{expected[j]} - 1.0);
      worst = std::isfinite(error) ? std::max(worst, error) : HUGE_VAL;
    }
  }
  return worst;
}

std::vector<float> gate_there(KernelMachine& machine, ConstMatrixView x, const Matrix& gate,
                              std::span<const int32_t> experts, int top_k, int misaligned_by = 0) {
  const auto count = static_cast<int64_t>(experts.size());
  const Output weights(machine, DType::f32, 1, count);
  machine.gate_weights(put(machine, x, misaligned_by),
                       put(machine, gate.view(), misaligned_by > 0 ? 4 : 0), put(machine, experts),
                       top_k, kScale,
                       {reinterpret_cast<float*>(weights.view().data), static_cast<size_t>(count)});
  return weights.values();
}

}  // namespace

void check_gate_cases(KernelMachine& machine) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const int64_t d : kRowSizes) {
      const Matrix gate = some_gate(d);
      for (const int top_k : {1, 2, 3, 6, 8, 64}) {
        for (const int64_t tokens : {int64_t{0}, tokens_of_size(d) * 3}) {
          machine.release();
          const Matrix x = random_matrix(dtype, tokens, d, 1);
          const std::vector<int32_t> experts = some_experts(tokens, top_k);
          const std::vector<float> weights = gate_there(machine, x.view(), gate, experts, top_k);
          CAPTURE(d, top_k, tokens);
          CHECK(worst_error(weights, x, gate, experts, top_k) < 1e-5);
        }
      }
    }
  }
}

void check_gate_fuses(KernelMachine& machine) {
  // a * a is 1 + 2^-11 + 2^-24, of which an fp32 product keeps all but the last term. The first
  // logit is that term times 2^24, or 0 where a product is rounded before it is added.
  constexpr float kUnit = 0x1p12f;
  const float a = 1.0f + 0x1p-12f;
  for (const int64_t d : {2, 8}) {  // element by element, and a lane's all at once
    machine.release();
    std::vector<float> x(d);
    x[0] = kUnit;
    x[1] = a * kUnit;
    std::vector<float> rows(2 * d);
    rows[0] = -(1.0f + 0x1p-11f) * kUnit;
    rows[1] = a * kUnit;
    Matrix token(DType::f32, 1, d);
    token.set(x);
    Matrix gate(DType::f32, 2, d);
    gate.set(rows);
    const std::vector<int32_t> experts{0, 1};
    const auto weights = gate_there(machine, std::as_const(token).view(), gate, experts, 2);
    CAPTURE(d, weights[0], weights[1]);
    CHECK(worst_error(weights, token, gate, experts, 2) < 1e-5);
  }
}

void check_gate_independence(KernelMachine& machine) {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const int64_t d : {3, 100, 1000}) {
      for (const int top_k : {2, 6, 11}) {
        machine.release();
        const int64_t tokens = 11;
        const Matrix gate = some_gate(d);
        const Matrix x = random_matrix(dtype, tokens, d, 1);
        const std::vector<int32_t> experts = some_experts(tokens, top_k);
        const std::vector<float> whole = gate_there(machine, x.view(), gate, experts, top_k);
        const int element = static_cast<int>(dtype_size(dtype));
        CHECK(gate_there(machine, x.view(), gate, experts, top_k, element) == whole);
        std::vector<float> one_by_one;
        for (int64_t token = 0; token < tokens; ++token) {
          const auto part = std::span(experts).subspan(token * top_k, top_k);
          const auto alone = gate_there(machine, x.view().slice(token, 1), gate, part, top_k);
          one_by_one.insert(one_by_one.end(), alone.begin(), alone.end());
        }
        CHECK(one_by_one == whole);
      }
    }
  }
}

}  // namespace hashep::test
