// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>

#include "hashep/ffn_shape.hpp"
#include "hashep/gate.hpp"

namespace hashep {

/// How each of a token's experts is weighted when their outputs are summed.
enum class Score {
  none,          ///< 1/top_k each
  sqrtsoftplus,  ///< by the gate, DeepSeek-V4: s = sqrt(softplus(x gate^T)) in fp32, w_j =
                 ///< s[e_j] / (sum_j s[e_j] + 1e-20) * routed_scaling_factor
  sigmoid,       ///< the same with s = sigmoid(x gate^T), DeepSeek-V3: of GateKind::noaux_tc alone
};

/// The sizes of a stack of mixture-of-experts layers, alike in all layers and on all ranks. A plain
/// value. Sizes are in elements.
struct StackShape {
  int64_t num_layers = 0;                    ///< L, one after the other
  int64_t hidden_size = 0;                   ///< d, of a token's hidden state
  int64_t ffn_size = 0;                      ///< f, of an expert's inner activation
  int64_t num_experts = 0;                   ///< E, routed experts of a layer, over all ranks; 0:
                                             ///< layers are dense, shared experts alone
  int top_k = 1;                             ///< k, distinct routed experts of a token: [1, E]; 0
                                             ///< where E is
  int64_t num_shared_experts = 0;            ///< on every rank, for every token, unweighted
  Activation activation = Activation::silu;  ///< see FfnShape
  float swiglu_limit = 0.0f;                 ///< see FfnShape; 0: none
  Score score = Score::none;                 ///< the weights of a token's experts
  float routed_scaling_factor = 1.0f;        ///< with Score::sqrtsoftplus and Score::sigmoid
  std::optional<Gate> gate = {};             ///< which layers a learned gate routes; empty: none

  /// Whether all that a layer has are shared experts: no token goes to another rank.
  bool is_dense() const { return num_experts == 0; }
  /// Layers that a Router routes, ahead: the first ones.
  int64_t num_routed_layers() const {
    return is_dense() ? 0 : gate ? gate->first_layer : num_layers;
  }
  /// Whether a learned gate chooses experts in a layer.
  bool has_gate(int64_t layer) const { return gate && gate->chooses_in(layer); }
  /// Whether it chooses by scores and biases.
  bool has_gate_bias(int64_t layer) const {
    return has_gate(layer) && gate->kind == GateKind::noaux_tc;
  }
  /// Whether experts of a layer are weighted by x gate^T, whoever has chosen them.
  bool has_gate_weights(int64_t layer) const { return has_gate(layer) || score != Score::none; }

  /// The shape of one routed expert.
  FfnShape routed_shape() const { return {hidden_size, ffn_size, activation, swiglu_limit}; }
  /// Shared experts are one FFN whose ffn_size is num_shared_experts times that of a routed expert,
  /// as DeepSeek stores them: equal to the sum of the separate experts.
  FfnShape shared_shape() const {
    return {hidden_size, num_shared_experts * ffn_size, activation, swiglu_limit};
  }

  bool operator==(const StackShape&) const = default;
};

}  // namespace hashep
