// SPDX-License-Identifier: Apache-2.0
#include <algorithm>

#include "kernels/rows/column_sums.hpp"
#include "kernels/rows/row_sums.hpp"

namespace hashep {
namespace {

constexpr int64_t kChunkRows = 128;  // summed by themselves, so that errors grow less

}  // namespace

void add_column_sums(ConstMatrixView rows, const float* weights, float weight, float* scratch,
                     float* sums) {
  with_activation_type(rows.dtype, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t begin = 0; begin < rows.rows; begin += kChunkRows) {
      const int64_t end = std::min(begin + kChunkRows, rows.rows);
      std::fill_n(scratch, rows.cols, 0.0f);
      for (int64_t row = begin; row < end; ++row) {
        add_scaled(rows.row_as<T>(row), weights == nullptr ? weight : weights[row], rows.cols,
                   scratch);
      }
      add_scaled(scratch, 1.0f, rows.cols, sums);
    }
  });
}

}  // namespace hashep
