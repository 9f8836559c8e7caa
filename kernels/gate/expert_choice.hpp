// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "hashep/gate.hpp"
#include "hashep/stack_shape.hpp"
#include "hashep/tensor_view.hpp"

namespace hashep {

/// How a learned gate chooses and weights: GateKind.
struct GateRule {
  GateKind kind = GateKind::softmax_top_k;
  Score score = Score::none;  // with noaux_tc: sqrtsoftplus or sigmoid
  int top_k = 1;
  float scale = 1.0f;  // routed_scaling_factor, with noaux_tc
};

/// Chooses the experts of each token and weights them. logits: [tokens, num_experts], f32; bias:
/// [num_experts], or empty: 0; is_padding: [tokens], or empty: no token is; experts, weights:
/// [tokens * top_k], the largest first, of padding -1 and 0. With softmax_top_k experts are ordered
/// by their logits, as their probabilities are. A logit that is no number comes behind all others.
void choose_experts(const GateRule& rule, ConstMatrixView logits, std::span<const float> bias,
                    std::span<const uint8_t> is_padding, std::span<int32_t> experts,
                    std::span<float> weights, int threads);

/// Factors of a gate's losses (GateLosses) in the gradients of logits.
struct GateLossFactors {
  float balance = 0.0f;
  float z = 0.0f;
  std::span<const float> loads;  // f_e of the layer in the global batch. [num_experts]
  float per_token = 0.0f;        // 1 over the tokens of the global batch that are no padding
};

/// logits <- their gradients, where those of the weights are weight_gradients [tokens * top_k]. A
/// token's follow from that token alone, and the losses' factors. Of padding they are 0.
void to_logit_gradients(const GateRule& rule, std::span<const int32_t> experts,
                        std::span<const float> weight_gradients, const GateLossFactors& losses,
                        MatrixView logits, int threads);

/// Adds up over tokens, in their order, what GateLosses are made of: shares[e] += e's probability
/// (or share of scores), squares += logsumexp^2; padding adds nothing.
void add_gate_losses(const GateRule& rule, ConstMatrixView logits, std::span<const int32_t> experts,
                     std::span<float> shares, float& squares);

}  // namespace hashep
