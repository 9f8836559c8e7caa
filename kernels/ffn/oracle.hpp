// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "hashep/ffn_shape.hpp"
#include "kernels/ffn/bounded.hpp"
#include "kernels/gate/expert_choice.hpp"

namespace hashep {

/// The naive oracle: one token at a time, plain loops, sums in double, no library. It states what
/// the fast kernels mean and shares no code with them. With dtype bf16 it rounds where
/// docs/design.md rounds (operands, hidden activation, expert output); x is taken as already
/// rounded. Each value comes with a bound of how far correct kernels may be from it.

/// How the kernels that are compared with the oracle compute.
struct OracleNumbers {
  DType dtype = DType::f32;
  bool rounds_preactivations = false;  // to dtype before the activation too
};

/// One expert on one token. x: [hidden_size] -> result: [hidden_size], rounded to dtype.
std::vector<Bounded> oracle_expert(const FfnShape& shape, const OracleNumbers& numbers,
                                   const FfnWeights& weights, std::span<const Bounded> x);

/// The same for an x without errors, values alone.
std::vector<float> oracle_expert(const FfnShape& shape, DType dtype, const FfnWeights& weights,
                                 std::span<const float> x);

/// sqrtsoftplus weights of one token's experts (see gate_weights). gate: [num_experts, d], f32, f16
/// or bf16.
std::vector<Bounded> oracle_gate_weights(ConstMatrixView gate, std::span<const int32_t> experts,
                                         float scale, std::span<const Bounded> x);

/// The same for an x without errors, values alone.
std::vector<float> oracle_gate_weights(ConstMatrixView gate, std::span<const int32_t> experts,
                                       float scale, std::span<const float> x);

/// A learned gate's choice of one token's experts, judged.
struct OracleChoice {
  std::vector<Bounded> weights;  // of the experts
  // The pair that is furthest from its order: `passed_over` should come before `chosen` by more
  // than rounding explains. -1: there is none.
  int32_t chosen = -1;
  int32_t passed_over = -1;
};

/// gate: [num_experts, d], f32, f16 or bf16; bias: [num_experts], or empty: 0; experts: the token's
/// choice, whose order is judged too.
OracleChoice oracle_choice(const GateRule& rule, ConstMatrixView gate, std::span<const float> bias,
                           std::span<const int32_t> experts, std::span<const Bounded> x);

/// A token's output before it is rounded to its dtype: sum_j weights[j] * rows[j] + shared.
/// rows: [top_k][hidden_size], none in dense layers; shared: [hidden_size], or empty. sum_unit:
/// bound of the relative error that partial sums get on their way between nodes; 0: there are none.
std::vector<Bounded> oracle_combine(std::span<const Bounded> weights,
                                    std::span<const std::vector<Bounded>> rows,
                                    std::span<const Bounded> shared, double sum_unit);

}  // namespace hashep
