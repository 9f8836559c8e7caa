// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "hashep/buffer.hpp"
#include "hashep/exchange_plan.hpp"
#include "hashep/training.hpp"
#include "kernels/ffn/ffn_layout.hpp"
#include "kernels/rows/fixed_point_rows.hpp"
#include "runtime/model/model_config.hpp"

namespace hashep {

/// Exact sums over gradient blocks and ranks of a layer's gradients that all ranks hold: its gate's
/// and those of its shared experts.
struct LayerSums {
  LayerSums() = default;
  /// shared: null where there are none; gate: of no rows where there is none.
  LayerSums(const FfnLayout* shared, ConstMatrixView gate);

  /// Adds an array as FfnLayout has it.
  void add_shared(const FfnLayout& layout, const float* gradient, int threads);
  /// All of them that there are.
  std::vector<FixedPointRows*> all();
  void clear();

  std::optional<FixedPointRows> w_in, w_out, bias_in, bias_out;
  std::optional<FixedPointRows> gate;
};

/// Memory that the layers' backward uses, one after the other: as much as the largest takes.
struct BackwardWorkspace {
  // Of rows of this rank's experts:
  Buffer kept;         // [total_recv, hidden_size]
  Buffer hidden;       // [total_recv, ffn_size]
  Buffer z;            // [total_recv, preactivation_size], where they are computed again
  Buffer row_weights;  // [total_recv], fp32
  Buffer row_weight_gradients;
  // Of this rank's tokens:
  Buffer ones;              // [tokens, top_k], fp32
  Buffer weight_gradients;  // [tokens, top_k], fp32
  Buffer logit_gradients;   // [tokens, top_k], fp32
  Buffer base;              // [tokens, hidden_size]: what is added to routed experts' gradients
  Buffer shared_kept, shared_hidden, shared_z;  // as the first three
  Buffer block;  // of one gradient block: an FFN's parameters or a gate's, fp32

  /// has_weights: of the layer, as StackShape::has_gate_weights.
  void reserve(const ModelConfig& config, DType dtype, const TrainingOptions& training,
               bool has_weights, const ExchangePlan& plan);
  int64_t bytes() const;
};

}  // namespace hashep
