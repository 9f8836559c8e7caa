// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace hashep {

/// A matrix of fp32 in rows, as it stands or transposed.
struct SgemmOperand {
  const float* first = nullptr;
  int64_t stride = 0;  ///< floats from a row to the next, as it stands
  bool transposed = false;
};

/// c <- beta c + a b by oneDNN: a [rows, terms], b [terms, cols], c [rows, cols] with `stride`.
/// Called by one thread of a team, its bits follow from the sizes. Throws RunError.
void sgemm(int64_t rows, int64_t cols, int64_t terms, const SgemmOperand& a, const SgemmOperand& b,
           float beta, float* c, int64_t stride);

}  // namespace hashep
