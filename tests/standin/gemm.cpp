// SPDX-License-Identifier: Apache-2.0
#include "tests/standin/gemm.hpp"

#include <algorithm>

#include "tests/standin/state.hpp"

namespace hashep::test::standin {
namespace {

double read(const GemmMatrix& matrix, int64_t row, int64_t col) {
  const int64_t at = row + col * matrix.ld;
  return static_cast<double>(matrix.dtype == DType::bf16
                                 ? static_cast<float>(static_cast<const BFloat16*>(matrix.data)[at])
                                 : static_cast<const float*>(matrix.data)[at]);
}

void write(const GemmMatrix& matrix, int64_t row, int64_t col, double value) {
  const int64_t at = row + col * matrix.ld;
  void* data = const_cast<void*>(matrix.data);
  if (matrix.dtype == DType::bf16) {
    static_cast<BFloat16*>(data)[at] = BFloat16(static_cast<float>(value));
  } else {
    static_cast<float*>(data)[at] = static_cast<float>(value);
  }
}

bool has_shape(const GemmMatrix& matrix, int64_t rows, int64_t cols, bool transposed) {
  if (transposed) std::swap(rows, cols);
  return matrix.rows == rows && matrix.cols == cols &&
         matrix.ld >= std::max<int64_t>(matrix.rows, 1);
}

bool is_in_gpu_memory(const GemmMatrix& matrix) {
  return matrix.bytes() == 0 || state().memory.is_gpu(matrix.data, matrix.bytes());
}

MemoryRange range(const GemmMatrix& matrix) {
  return {matrix.data, matrix.bytes()};
}

}  // namespace

int64_t GemmMatrix::bytes() const {
  return rows == 0 || cols == 0 ? 0 : ((cols - 1) * ld + rows) * dtype_size(dtype);
}

bool Gemm::fits() const {
  return has_shape(a, d.rows, k(), transpose_a) && has_shape(b, k(), d.cols, transpose_b) &&
         has_shape(c, d.rows, d.cols, false) && has_shape(d, d.rows, d.cols, false);
}

bool Gemm::is_in_memory() const {
  return is_in_gpu_memory(a) && is_in_gpu_memory(b) && is_in_gpu_memory(d) &&
         (beta == 0.0f || is_in_gpu_memory(c)) && !overlap(range(a), range(d)) &&
         !overlap(range(b), range(d));
}

MemoryRanges Gemm::memory() const {
  return {range(a), range(b), range(c), range(d)};
}

void Gemm::run() const {
  for (int64_t col = 0; col < d.cols; ++col) {
    for (int64_t row = 0; row < d.rows; ++row) {
      double sum = 0.0;
      for (int64_t i = 0; i < k(); ++i) {
        sum += (transpose_a ? read(a, i, row) : read(a, row, i)) *
               (transpose_b ? read(b, col, i) : read(b, i, col));
      }
      sum *= static_cast<double>(alpha);
      if (beta != 0.0f) sum += static_cast<double>(beta) * read(c, row, col);
      write(d, row, col, sum);
    }
  }
}

}  // namespace hashep::test::standin
