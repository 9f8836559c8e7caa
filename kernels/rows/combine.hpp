// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "core/device_stream.hpp"
#include "hashep/tensor_view.hpp"
#include "kernels/rows/expert_place.hpp"

namespace hashep {

/// What combine_rows reads: expert outputs, wherever they stand.
struct CombineInput {
  std::span<const ExpertPlace> places;  // [num_experts], rows of y's dtype and cols
  std::span<const int32_t> experts;     // [tokens * top_k]
  std::span<const int64_t> row_of;      // [tokens * top_k]: numbers within ExpertPlace; -1: none
  int top_k = 1;
  std::span<const float> weights;  // [tokens * top_k], or empty: 1/top_k each
  ConstMatrixView shared;          // [tokens, d] shared experts' output, or empty
  bool stream = false;             // read ahead, write y past the caches (see stream_copy)
};

/// Unpermute with weights: y.row(i) = sum_j weights[i, j] * row of assignment (i, j) +
/// shared.row(i), summed in fp32 in the order j = 0..top_k-1 (the sum begins with choice 0), then
/// the shared row, each product rounded before it is added, the sum rounded once to y's dtype.
/// Choices without a row are left out; a token whose first choice has none (padding) gets zeros.
/// y: [tokens, d]; must not overlap an input.
void combine_rows(const CombineInput& input, MatrixView y, int threads);

/// The same, to the bit, on a GPU, in stream order: all of it in GPU memory, rows that places lead
/// to aligned as for scatter_rows; input.stream means nothing here. top_k <= kMaxDeviceTopK. Throws
/// RunError where the launch fails.
void combine_rows(const CombineInput& input, MatrixView y, DeviceStream stream);
inline constexpr int kMaxDeviceTopK = 64;

/// out[0, cols) = sum_i weights[i] * rows[i][0, cols), summed in fp32 in this order and rounded
/// once to `dtype` (f32 or bf16): some of a token's contributions. At least one row; must not
/// overlap.
void sum_rows(std::span<const std::byte* const> rows, std::span<const float> weights, DType dtype,
              int64_t cols, std::byte* out);

/// x.row(i) += y.row(i) for all i, added in fp32 and rounded once (the residual of a layer stack).
void add_rows(ConstMatrixView y, MatrixView x, int threads);

/// The same on a GPU, in stream order.
void add_rows(ConstMatrixView y, MatrixView x, DeviceStream stream);

}  // namespace hashep
