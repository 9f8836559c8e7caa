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

  // Bytes, of the rows that a rank's experts receive or of its own tokens.
  int64_t x(const ExchangePlan& plan) const {
    return plan.total_recv() * config_.hidden_size * dtype_size(dtype_);
  }
  int64_t z(const ExchangePlan& plan) const {
    return recompute_ ? 0 : plan.total_recv() * z_row(config_.routed_shape());
  }
  int64_t input(const ExchangePlan& plan) const {
    return keeps_input() ? plan.tokens * config_.hidden_size * dtype_size(dtype_) : 0;
  }
  int64_t shared_z(const ExchangePlan& plan) const {
    const bool none = recompute_ || config_.num_shared_experts == 0;
    return none ? 0 : plan.tokens * z_row(config_.shared_shape());
  }
  /// Weights of a token's choices.
  int64_t weights(const ExchangePlan& plan) const {
    const bool none = config_.score == Score::none;
    return none ? 0 : std::ssize(plan.experts) * dtype_size(DType::f32);
  }

  int64_t layer(const ExchangePlan& plan) const {
    return x(plan) + z(plan) + input(plan) + shared_z(plan) + weights(plan);
  }
  int64_t batch(const BatchPlan& plan) const {
    int64_t bytes = 0;
    for (const ExchangePlan& of_layer : plan.layers) bytes += layer(of_layer);
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
    x.reserve(sizes.x(plan));
    z.reserve(sizes.z(plan));
    input.reserve(sizes.input(plan));
    shared_z.reserve(sizes.shared_z(plan));
    weights.reserve(sizes.weights(plan));
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
