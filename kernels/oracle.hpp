// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/ffn_shape.hpp"

namespace hashep {

/// The naive oracle: one token at a time, plain loops, sums in double, no library. It states what
/// the fast kernels mean and shares no code with them. With dtype bf16 it rounds where DESIGN.md
/// rounds (operands, hidden activation, expert output); x is taken as already rounded.

/// One expert on one token. x: [hidden_size] -> result: [hidden_size], rounded to dtype.
std::vector<float> oracle_expert(const FfnShape& shape, DType dtype, const FfnWeights& weights,
                                 std::span<const float> x);

/// sqrtsoftplus weights of one token's experts (see gate_weights). gate: [num_experts, d], f32, f16
/// or bf16.
std::vector<float> oracle_gate_weights(ConstMatrixView gate, std::span<const int32_t> experts,
                                       float scale, std::span<const float> x);

}  // namespace hashep
