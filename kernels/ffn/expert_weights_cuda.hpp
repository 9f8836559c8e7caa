// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "core/cuda/device_buffer.hpp"
#include "core/cuda/stream.hpp"
#include "hashep/ffn_shape.hpp"

namespace hashep {

/// How w1 and w3 stand together with silu, so that one GEMM computes gate and up.
enum class WeightOrder {
  apart,     // w1, then w3
  in_blocks  // a block of w1's rows, the same of w3's, and so on (kGatedBlock)
};

/// The weights of a number of experts in GPU memory, held once, as the GEMMs read them.
class DeviceExpertWeights {
 public:
  DeviceExpertWeights(const FfnShape& shape, DType dtype, int64_t num_experts,
                      WeightOrder order = WeightOrder::apart);

  /// Converts weights to the dtype (biases to fp32) and copies them to the GPU; waits for it.
  /// Throws InputError where a shape is not that of FfnShape.
  void set(int64_t expert, const FfnWeights& weights);

  /// Throws RunError where an expert's weights were not set.
  void require(int64_t expert) const;

  const FfnShape& shape() const { return shape_; }
  /// w1, with silu w1 and w3 in their WeightOrder: [first_cols(), d].
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
  /// Rows of a matrix in the order in which they are to stand in GPU memory.
  struct Rows {
    int64_t count = 0;
    int64_t cols = 0;
    std::function<ConstMatrixView(int64_t)> row;  // one, of any float type
  };
  static Rows rows_of(ConstMatrixView matrix);
  static Rows in_blocks(ConstMatrixView gate, ConstMatrixView up);
  void upload(const Rows& rows, DType dtype, std::byte* to);

  FfnShape shape_;
  DType dtype_;
  WeightOrder order_;
  int64_t first_cols_;
  std::vector<Expert> experts_;
  DeviceBuffer first_;   // [num_experts, first_cols, d]
  DeviceBuffer second_;  // [num_experts, d, f]
  DeviceBuffer biases_;  // [num_experts, f + f + d]; empty while no expert has one
  PinnedBuffer staging_;
  CudaStream stream_;
};

}  // namespace hashep
