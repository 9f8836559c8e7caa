// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "hashep/tensor_view.hpp"

namespace hashep {

/// What a device does for one layer of one batch, step by step: `run_layer_work` says in which
/// order. In backward, gradients of outputs are what is dispatched, and those of inputs what is
/// combined. On a GPU a call asks for the work and returns; on a CPU it is done when the call
/// returns. `part`: of the layer's Exchange.
class LayerWork {
 public:
  virtual ~LayerWork() = default;

  virtual int num_parts() const = 0;
  /// Whether the gate and the shared experts compute while dispatch, asked for before, is under
  /// way. On a CPU, which does one thing at a time, they do not.
  virtual bool runs_beside_dispatch() const = 0;

  /// The part's rows come to their experts.
  virtual void dispatch(int part) = 0;
  /// The weight of each of a token's choices. [rows * top_k], or empty: 1/top_k each
  virtual std::span<const float> gate() = 0;
  /// The shared experts' output for the rank's own tokens. [rows, hidden_size], or empty: none
  virtual ConstMatrixView shared_experts() = 0;
  /// Experts compute the part's rows, which are there.
  virtual void routed_experts(int part) = 0;
  /// Their outputs may return.
  virtual void give_back(int part, std::span<const float> weights) = 0;
  /// The weighted sum of outputs at the tokens' rank.
  virtual void combine(std::span<const float> weights, ConstMatrixView shared) = 0;
};

/// One expert-parallel MoE layer on one rank: gate, dispatch, experts, shared experts, combine, in
/// the order that its device is best served with. Collective, through the exchange.
void run_layer_work(LayerWork& work);

}  // namespace hashep
