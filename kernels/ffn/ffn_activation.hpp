// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <dnnl.hpp>
#include <vector>

#include "hashep/buffer.hpp"
#include "hashep/ffn_shape.hpp"
#include "hashep/tensor_view.hpp"
#include "kernels/ffn/ffn_layout.hpp"
#include "kernels/gemm/eltwise_onednn.hpp"

namespace hashep {

/// The activation of an FFN and its gradient on rows of pre-activations, by oneDNN's functions,
/// which are applied block by block, so that what lies between stays in the nearest cache. Each
/// call is by one thread, several may run at once.
class FfnActivation {
 public:
  FfnActivation(const dnnl::engine& engine, const FfnShape& shape, int threads);

  /// hidden <- act(z), computed in fp32 and rounded once. z: [rows, preactivation_size], f32;
  /// hidden: [rows, ffn_size], f32 or bf16.
  void forward(int thread, ConstMatrixView z, MatrixView hidden);

  /// What backward reads and writes, f32 or bf16, computed in fp32 and rounded once. Of row r, w
  /// being its weight:
  struct Backward {
    ConstMatrixView z;               // [rows, preactivation_size]
    const float* hidden_gradient;    // [rows, ffn_size]: before it is weighted
    const float* weights = nullptr;  // [rows]; null: `weight` each
    float weight = 1.0f;
    MatrixView z_gradient;              // w * gradient of z; may be z
    MatrixView hidden;                  // [rows, ffn_size]: w * act(z)
    float* weight_gradients = nullptr;  // [rows]: <hidden_gradient, act(z)>; null: not wanted
  };
  void backward(int thread, const Backward& rows);

 private:
  /// A block's values, [block_rows_, ffn_size] each.
  struct Block {
    float* gate = nullptr;      // pre-activations
    float* up = nullptr;        // silu only
    float* act = nullptr;       // the function of gate
    float* gradient = nullptr;  // of gate
    float* hidden = nullptr;    // act, times up
    float* up_gradient = nullptr;
  };

  bool gated() const { return shape_.activation == Activation::silu; }
  int64_t block_size() const { return block_rows_ * shape_.ffn_size; }
  Block block_of(int thread);
  void load(ConstMatrixView z, const Block& block) const;
  void apply(int thread, const Block& block) const;

  FfnShape shape_;
  float limit_;  // infinity: none
  int64_t block_rows_;
  OneDnnEltwise function_;
  OneDnnEltwiseGradient gradient_;
  std::vector<Buffer> blocks_;  // by thread
};

}  // namespace hashep
