// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "hashep/ffn_shape.hpp"

namespace hashep {

/// How each of a token's experts is weighted when their outputs are summed.
enum class Score {
  none,          ///< 1/top_k each
  sqrtsoftplus,  ///< by the gate, DeepSeek-V4: s = sqrt(softplus(x gate^T)) in fp32, w_j =
                 ///< s[e_j] / (sum_j s[e_j] + 1e-20) * routed_scaling_factor
};

/// The sizes of a stack of mixture-of-experts layers, alike in all layers and on all ranks. A plain
/// value. Sizes are in elements.
struct StackShape {
  int64_t num_layers = 0;                    ///< L, one after the other
  int64_t hidden_size = 0;                   ///< d, of a token's hidden state
  int64_t ffn_size = 0;                      ///< f, of an expert's inner activation
  int64_t num_experts = 0;                   ///< E, routed experts of a layer, over all ranks
  int top_k = 1;                             ///< k, distinct routed experts of a token: [1, E]
  int64_t num_shared_experts = 0;            ///< on every rank, for every token, unweighted
  Activation activation = Activation::silu;  ///< see FfnShape
  float swiglu_limit = 0.0f;                 ///< see FfnShape; 0: none
  Score score = Score::none;                 ///< the weights of a token's experts
  float routed_scaling_factor = 1.0f;        ///< with Score::sqrtsoftplus

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
