// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "hashep/buffer.hpp"
#include "hashep/training.hpp"
#include "hashep/weight_source.hpp"
#include "kernels/gate/expert_choice.hpp"
#include "kernels/gate/gate_logits.hpp"
#include "kernels/rows/fixed_point_rows.hpp"
#include "runtime/layer/host_experts.hpp"
#include "runtime/model/model_config.hpp"

namespace hashep {

/// The learned gate of one layer on a CPU rank, but for its weights. All of it is local.
class LearnedGate {
 public:
  /// bias: [1, num_experts] with GateKind::noaux_tc, else empty.
  LearnedGate(const ModelConfig& config, LoadedMatrix bias, int threads);

  /// Takes the weights that logits are made with from now on. gate: [num_experts, hidden_size].
  void pack(ConstMatrixView gate) { logits_.pack(gate); }

  /// Chooses experts for tokens of hidden states x, and weights them. logits: [tokens,
  /// num_experts], f32; the rest as choose_experts has it.
  void choose(ConstMatrixView x, std::span<const uint8_t> is_padding, MatrixView logits,
              std::span<int32_t> experts, std::span<float> weights) const;

  /// logits <- their gradients, of weights and of the losses that `training` asks for. place: of
  /// the batch, whose assignments are counted for step_bias.
  void to_gradients(std::span<const int32_t> experts, std::span<const float> weight_gradients,
                    const TrainingOptions& training, const BatchPlace& place, MatrixView logits);
  /// gradient <- logit_gradients^T x, of the tokens of one gradient block. [num_experts,
  /// hidden_size]
  void make_gradient(ConstMatrixView logit_gradients, ConstMatrixView x, MatrixView gradient) {
    make_gate_gradient(logit_gradients, x, block_, gradient, threads_);
  }

  /// Adds what GateLosses are made of for the tokens of one gradient block: shares [1,
  /// num_experts], squares [1, 1].
  void add_losses(ConstMatrixView logits, std::span<const int32_t> experts, FixedPointRows& shares,
                  FixedPointRows& squares) const;

  /// Moves biases by `step` towards even loads of what was counted since it was called last.
  void step_bias(float step);
  /// Forgets what was counted.
  void clear_loads();

  bool has_bias() const { return bias_.view.rows > 0; }
  MatrixView bias() { return bias_.owned.matrix(DType::f32, bias_.view.rows, bias_.view.cols); }
  MatrixView bias_gradient() {
    return bias_gradient_.matrix(DType::f32, bias_.view.rows, bias_.view.cols);
  }
  int64_t bytes() const {
    return logits_.bytes() + bias_.view.bytes() + bias_gradient_.capacity() + block_.capacity();
  }

 private:
  GateRule rule_;
  int threads_;
  GateLogits logits_;
  LoadedMatrix bias_;
  Buffer bias_gradient_;        // always 0
  Buffer block_;                // x of one gradient block in fp32, where it is in bf16
  std::vector<int64_t> loads_;  // assignments counted, by expert
  std::vector<float> shares_;   // of the batch's assignments: f_e
};

}  // namespace hashep
