// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <vector>

#include "hashep/weight_source.hpp"

namespace hashep {

/// Weights that the caller has in host memory, in fp32, fp16 or bf16, or quantised. Views are
/// borrowed, and must stay valid while a Stack is made; nothing is copied but the gate. A rank
/// needs its own experts alone: those that the placement gives it (Placement::local_experts).
/// Local.
class ArrayWeights final : public WeightSource {
 public:
  /// How to find weights; each is called when it is needed, and may make them there and then, in
  /// memory that stays until the next call.
  struct Functions {
    /// Of an expert of this rank. Required.
    std::function<FfnWeights(int64_t layer, int64_t expert)> routed_expert;
    /// With StackShape::num_shared_experts > 0.
    std::function<FfnWeights(int64_t layer)> shared_experts = {};
    /// [num_experts, hidden_size], fp32, fp16 or bf16; where StackShape::has_gate_weights.
    std::function<ConstMatrixView(int64_t layer)> gate = {};
    /// [1, num_experts], the same; with GateKind::noaux_tc.
    std::function<ConstMatrixView(int64_t layer)> gate_bias = {};
  };
  /// Throws InputError where there is no function for routed experts.
  explicit ArrayWeights(Functions functions);

  /// Routed experts alone, by layer and expert: [num_layers][num_experts]. Experts of other ranks
  /// may be left empty.
  explicit ArrayWeights(std::vector<std::vector<FfnWeights>> experts);

  LoadedFfn routed_expert(int64_t layer, int64_t expert) const override;
  LoadedFfn shared_experts(int64_t layer) const override;
  LoadedMatrix gate(int64_t layer) const override;
  LoadedMatrix gate_bias(int64_t layer) const override;

 private:
  Functions functions_;
};

}  // namespace hashep
