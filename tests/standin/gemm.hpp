// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "hashep/dtype.hpp"
#include "tests/standin/standin.hpp"

namespace hashep::test::standin {

/// A column-major matrix in GPU memory, as it is stored.
struct GemmMatrix {
  const void* data = nullptr;
  DType dtype = DType::f32;
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t ld = 0;  // elements between columns

  int64_t bytes() const;  // from the first element to the last
};

/// d = alpha * op(a) * op(b) + beta * c, where op transposes or not; d is [m, n], op(a) [m, k]. c
/// is not read where beta is 0.
struct Gemm {
  bool transpose_a = false;
  bool transpose_b = false;
  float alpha = 1.0f;
  float beta = 0.0f;
  GemmMatrix a, b, c, d;

  int64_t k() const { return transpose_a ? a.rows : a.cols; }

  /// Whether shapes fit one another and leading dimensions hold their columns.
  bool fits() const;
  /// Whether operands are live GPU memory, and the result overlaps none but c.
  bool is_in_memory() const;
  /// What a, b, c and d take up.
  MemoryRanges memory() const;
  /// Does it, with sums in double, rounded once.
  void run() const;
};

}  // namespace hashep::test::standin
