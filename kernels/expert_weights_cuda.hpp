// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "core/cuda/device_buffer.hpp"
#include "core/cuda/stream.hpp"
#include "kernels/ffn_shape.hpp"

namespace hashep {

/// The weights of a number of experts in GPU memory, held once, as the GEMMs read them.
class DeviceExpertWeights {
 public:
  DeviceExpertWeights(const FfnShape& shape, DType dtype, int64_t num_experts);

  /// Converts weights to the dtype (biases to fp32) and copies them to the GPU; waits for it. Throws
  /// InputError where a shape is not that of FfnShape.
  void set(int64_t expert, const FfnWeights& weights);

  /// Throws RunError where an expert's weights were not set.
  void require(int64_t expert) const;

  const FfnShape& shape() const { return shape_; }
  /// With silu w1 and w3 stand together, so that one GEMM computes gate and up. [first_cols(), d]
  int64_t first_cols() const { return first_cols_; }
  const std::byte* first(int64_t expert) const;
  const std::byte* second(int64_t expert) const;  // w2: [d, ffn_size]
  /// Biases, fp32, or null where the expert has none.
  const float* bias1(int64_t expert) const { return bias(expert, 0); }
  const float* bias3(int64_t expert) const { return bias(expert, 1); }
  const float* bias2(int64_t expert) const { return bias(expert, 2); }

  bool has_biases() const { return biases_.capacity() > 0; }  // any expert

  int64_t bytes() const;

 private:
  /// One expert's biases: 1 and 3 of ffn_size, 2 of hidden_size.
  struct Expert {
    bool is_set = false;
    bool has_bias[3] = {false, false, false};
  };

  const float* bias(int64_t expert, int which) const;
  std::byte* bias_place(int64_t expert, int which) const;
  void upload(ConstMatrixView matrix, DType dtype, std::byte* to);

  FfnShape shape_;
  DType dtype_;
  int64_t first_cols_;
  std::vector<Expert> experts_;
  DeviceBuffer first_;   // [num_experts, first_cols, d]
  DeviceBuffer second_;  // [num_experts, d, f]
  DeviceBuffer biases_;  // [num_experts, f + f + d]; empty while no expert has one
  PinnedBuffer staging_;
  CudaStream stream_;
};

}  // namespace hashep
