// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "hashep/tensor_view.hpp"

namespace hashep {

// The gradients of gate_weights, in three steps. Of padding all are zero.

/// The gradients of the logits x g_e where those of the weights are `weight_gradients`: with scores
/// s_j = sqrt(softplus(a_j)), total S = sum_j s_j + 1e-20 and w_j = s_j / S * scale,
///     ds_j = scale / S * (dw_j - sum_i dw_i s_i / S),  da_j = ds_j * sigmoid(a_j) / (2 s_j).
/// x, gate, experts, top_k, scale: as gate_weights has them; both gradients: [tokens * top_k].
void gate_logit_gradients(ConstMatrixView x, ConstMatrixView gate, std::span<const int32_t> experts,
                          int top_k, float scale, std::span<const float> weight_gradients,
                          std::span<float> logit_gradients, int threads);

/// dx.row(i) += sum_j logit_gradients[i, j] * gate.row(e_ij), in fp32 in the order of j, rounded
/// once. dx: [tokens, d], f32 or bf16.
void add_gate_input_gradients(ConstMatrixView gate, std::span<const int32_t> experts, int top_k,
                              std::span<const float> logit_gradients, MatrixView dx, int threads);

/// gradient.row(e) += sum over (i, j) with e_ij = e of logit_gradients[i, j] * x.row(i), token by
/// token. gradient: [num_experts, d], f32. By one thread.
void add_gate_gradients(ConstMatrixView x, std::span<const int32_t> experts, int top_k,
                        std::span<const float> logit_gradients, MatrixView gradient);

}  // namespace hashep
