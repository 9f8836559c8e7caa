// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "hashep/buffer.hpp"
#include "hashep/tensor_view.hpp"

namespace hashep {

/// Some rows of a tile: rows [first, first + x.rows) of a GEMM of `gemm_rows` rows, the others
/// being zeros whose results are dropped.
struct TileRows {
  ConstMatrixView x;
  MatrixView out;  // may be x
  int64_t first = 0;
  int64_t gemm_rows = 0;
};

/// Copies rows to their places, from row `first` on, among gemm_rows rows of `operand` in `to`,
/// which has room, with zeros around them. Returns the first byte of these.
std::byte* stage_rows(ConstMatrixView rows, int64_t first, int64_t gemm_rows, DType operand,
                      Buffer& to);

/// The other way: rows of `operand` from row `first` on of `from`, converted to those of `out`.
void unstage_rows(const Buffer& from, int64_t first, DType operand, MatrixView out);

}  // namespace hashep
