// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace hashep {

/// How a learned gate chooses a token's experts and weights them. Logits are x gate^T in fp32;
/// equal ones go to the lowest expert.
enum class GateKind {
  /// Those of the largest softmax over all experts. Weights are the probability itself where top_k
  /// is 1 (Switch Transformers, arXiv 2101.03961, eq. 2), and for more those of the chosen ones
  /// divided by their sum (GShard, arXiv 2006.16668).
  softmax_top_k,
  /// Those of the largest score + bias, the score being StackShape::score of the logit; weights are
  /// the scores of the chosen ones, without bias, divided by their sum and times
  /// routed_scaling_factor (DeepSeek-V3, arXiv 2412.19437, eq. 13 to 16).
  noaux_tc,
};

/// Layers whose experts a learned gate chooses: from hidden states, when the layer is reached, so
/// that their plans are exchanged there, and nothing hides it. The baseline that static routing is
/// compared with: exact, and without a dropped token. A plain value.
struct Gate {
  GateKind kind = GateKind::softmax_top_k;  ///< how it chooses
  int64_t first_layer = 0;  ///< layers before it are routed ahead, by the Stack's Router

  /// Whether it chooses in a layer.
  bool chooses_in(int64_t layer) const { return layer >= first_layer; }

  bool operator==(const Gate&) const = default;
};

/// What keeps a gate's loads even, of one batch: see TrainingOptions for what is made of them.
struct GateLosses {
  double balance = 0.0;  ///< num_experts * sum_e f_e P_e, the sum over layers (Switch, eq. 4): f_e
                         ///< is the share of assignments that expert e has in the global batch, P_e
                         ///< the mean over its tokens of e's probability, or of its share of a
                         ///< token's scores with noaux_tc. 1 in each layer where all is even
  double z = 0.0;        ///< the mean over tokens of logsumexp(logits)^2, the sum over layers
                         ///< (ST-MoE, arXiv 2202.08906, eq. 5)
};

}  // namespace hashep
