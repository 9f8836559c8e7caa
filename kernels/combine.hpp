// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "core/tensor_view.hpp"

namespace hashep {

/// What combine_rows reads.
struct CombineInput {
  ConstMatrixView rows;             // [assignments, d]: expert outputs at the source
  std::span<const int64_t> row_of;  // [tokens * top_k]: row of each assignment, -1: padding
  int top_k = 1;
  std::span<const float> weights;  // [tokens * top_k], or empty: 1/top_k each
  ConstMatrixView shared;          // [tokens, d] shared experts' output, or empty
};

/// Unpermute with weights: y.row(i) = sum_j weights[i, j] * rows.row(row_of[i, j]) + shared.row(i),
/// summed in fp32 in the order j = 0..top_k-1, then the shared row, rounded once to y's dtype.
/// A padding token (row -1) gets zeros. y: [tokens, d], dtype of rows; must not overlap an input.
void combine_rows(const CombineInput& input, MatrixView y, int threads);

/// x.row(i) += y.row(i) for all i, added in fp32 and rounded once (the residual of a layer stack).
void add_rows(ConstMatrixView y, MatrixView x, int threads);

}  // namespace hashep
