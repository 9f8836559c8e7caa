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
  TapeSizes(const ModelConfig& config, DType dtype, bool recompute, int64_t layer = 0)
      : config_(config),
        dtype_(dtype),
        recompute_(recompute),
        has_gate_(config.shape().has_gate(layer)),
        has_weights_(config.shape().has_gate_weights(layer)) {}

  /// Whether the layer's own input is kept: gates and shared experts need it.
  bool keeps_input() const { return has_weights_ || config_.num_shared_experts > 0; }

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
    return has_weights_ ? tokens * config_.top_k * dtype_size(DType::f32) : 0;
  }
  /// Logits of a learned gate.
  int64_t logits(int64_t tokens) const {
    return has_gate_ ? tokens * config_.num_experts * dtype_size(DType::f32) : 0;
  }

  int64_t layer(int64_t rows, int64_t tokens) const {
    return x(rows) + z(rows) + input(tokens) + shared_z(tokens) + weights(tokens) + logits(tokens);
  }

 private:
  int64_t z_row(const FfnShape& shape) const {
    return preactivation_size(shape) * dtype_size(dtype_);
  }

  ModelConfig config_;
  DType dtype_;
  bool recompute_;
  bool has_gate_;
  bool has_weights_;
};

/// What a tape of a stack keeps of a batch, whose layers are all planned.
inline int64_t batch_tape_bytes(const ModelConfig& config, DType dtype, bool recompute,
                                const BatchPlan& plan) {
  int64_t bytes = 0;
  for (int64_t layer = 0; layer < std::ssize(plan.layers); ++layer) {
    bytes += TapeSizes(config, dtype, recompute, layer)
                 .layer(plan.layers[layer].total_recv(), plan.tokens);
  }
  return bytes;
}

/// What forward keeps of one layer for backward. Memory for it is taken ahead, exactly as TapeSizes
/// says, and grows with the largest batch.
struct LayerTape {
  Buffer x;         // rows of this rank's experts, as they came. [total_recv, hidden_size]
  Buffer z;         // their pre-activations. [total_recv, preactivation_size]
  Buffer input;     // of the layer. [tokens, hidden_size]
  Buffer shared_z;  // [tokens, preactivation_size of the shared experts]
  Buffer weights;   // [tokens, top_k], fp32
  Buffer logits;    // of a learned gate. [tokens, num_experts], fp32

  // What it was filled by: nothing where `stack` is null.
  const void* stack = nullptr;
  int64_t step = -1;
  int64_t gate_pass = 0;  // BatchPlan::gate_passes

  void reserve(const TapeSizes& sizes, const ExchangePlan& plan) {
    x.reserve(sizes.x(plan.total_recv()));
    z.reserve(sizes.z(plan.total_recv()));
    input.reserve(sizes.input(plan.tokens));
    shared_z.reserve(sizes.shared_z(plan.tokens));
    weights.reserve(sizes.weights(plan.tokens));
    logits.reserve(sizes.logits(plan.tokens));
  }
  int64_t bytes() const {
    return x.capacity() + z.capacity() + input.capacity() + shared_z.capacity() +
           weights.capacity() + logits.capacity();
  }
};

/// The same of a stack, for one batch.
struct StackTape {
  std::vector<LayerTape> layers;

  int64_t bytes() const {
    int64_t sum = 0;
    for (const LayerTape& layer : layers) sum += layer.bytes();
    return sum;
  }
};

}  // namespace hashep
