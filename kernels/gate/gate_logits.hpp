// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "hashep/buffer.hpp"
#include "hashep/tensor_view.hpp"

namespace hashep {

/// The logits of a learned gate, x gate^T in fp32, and their way back. A token's bits follow from
/// that token and the gate alone (ordered_product). x: f32 or bf16.
class GateLogits {
 public:
  GateLogits(int64_t num_experts, int64_t hidden_size);

  /// Takes the weights that logits are made with from now on. gate: [num_experts, hidden_size],
  /// f32.
  void pack(ConstMatrixView gate);
  /// logits <- x gate^T: [tokens, num_experts], f32.
  void run(ConstMatrixView x, MatrixView logits, int threads) const;

  int64_t bytes() const { return columns_.capacity(); }

 private:
  int64_t num_experts_;
  int64_t hidden_size_;
  int64_t stride_;  // num_experts, rounded up
  Buffer columns_;  // gate^T: [hidden_size, stride_], zeros behind num_experts
};

/// dx <- dx + logit_gradients gate, in fp32, rounded once. dx: [tokens, hidden_size].
void add_logit_input_gradients(ConstMatrixView gate, ConstMatrixView logit_gradients, MatrixView dx,
                               int threads);

/// gradient <- logit_gradients^T x: [num_experts, hidden_size], f32, summed token by token.
/// scratch: grows to x in f32, where x is in bf16.
void make_gate_gradient(ConstMatrixView logit_gradients, ConstMatrixView x, Buffer& scratch,
                        MatrixView gradient, int threads);

}  // namespace hashep
