// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "hashep/batch_plan.hpp"
#include "hashep/buffer.hpp"
#include "kernels/ffn/trainable_ffn.hpp"
#include "runtime/model/model_config.hpp"

namespace hashep {

/// What a layer keeps of a batch, by its sizes.
class TapeSizes {
 public:
  TapeSizes(const ModelConfig& config, DType dtype, bool recompute)
      : config_(config), dtype_(dtype), recompute_(recompute) {}

  /// Whether a layer's own input is kept: gates and shared experts need it.
  bool keeps_input() const {
    return config_.score != Score::none || config_.num_shared_experts > 0;
  }

  /// Whether pre-activations are kept.
  bool keeps_z() const { return !recompute_; }

  // Bytes, of so many rows that a rank's experts receive, or of so many of its own tokens.
  int64_t x(int64_t rows) const { return rows * config_.hidden_size * dtype_size(dtype_); }
  int64_t z(int64_t rows) const { return recompute_ ? 0 : rows * z_row(config_.routed_shape()); }
  int64_t input(int64_t tokens) const {
    return keeps_input() ? tokens * config_.hidden_size * dtype_size(dtype_) : 0;
  }
  int64_t shared_z(int64_t tokens) const {
    const bool none = recompute_ || config_.num_shared_experts == 0;
    return none ? 0 : tokens * z_row(config_.shared_shape());
  }
  /// Weights of the tokens' choices.
  int64_t weights(int64_t tokens) const {
    const bool none = config_.score == Score::none;
    return none ? 0 : tokens * config_.top_k * dtype_size(DType::f32);
  }

  int64_t layer(int64_t rows, int64_t tokens) const {
    return x(rows) + z(rows) + input(tokens) + shared_z(tokens) + weights(tokens);
  }
  int64_t batch(const BatchPlan& plan) const {
    int64_t bytes = 0;
    for (const ExchangePlan& of_layer : plan.layers) {
      bytes += layer(of_layer.total_recv(), plan.tokens);
    }
    return bytes;
  }

 private:
  int64_t z_row(const FfnShape& shape) const {
    return preactivation_size(shape) * dtype_size(dtype_);
  }

  ModelConfig config_;
  DType dtype_;
  bool recompute_;
};

/// What forward keeps of one layer for backward. Memory for it is taken ahead, exactly as TapeSizes
/// says, and grows with the largest batch.
struct LayerTape {
  Buffer x;         // rows of this rank's experts, as they came. [total_recv, hidden_size]
  Buffer z;         // their pre-activations. [total_recv, preactivation_size]
  Buffer input;     // of the layer. [tokens, hidden_size]
  Buffer shared_z;  // [tokens, preactivation_size of the shared experts]
  Buffer weights;   // [tokens, top_k], fp32

  void reserve(const TapeSizes& sizes, const ExchangePlan& plan) {
    x.reserve(sizes.x(plan.total_recv()));
    z.reserve(sizes.z(plan.total_recv()));
    input.reserve(sizes.input(plan.tokens));
    shared_z.reserve(sizes.shared_z(plan.tokens));
    weights.reserve(sizes.weights(plan.tokens));
  }
  int64_t bytes() const {
    return x.capacity() + z.capacity() + input.capacity() + shared_z.capacity() +
           weights.capacity();
  }
};

/// The same of a stack, for one batch.
struct StackTape {
  std::vector<LayerTape> layers;
  const void* stack = nullptr;  // whose; null: nothing is kept
  int64_t step = -1;            // of the batch that is

  int64_t bytes() const {
    int64_t sum = 0;
    for (const LayerTape& layer : layers) sum += layer.bytes();
    return sum;
  }
};

}  // namespace hashep
