// SPDX-License-Identifier: Apache-2.0
#include "kernels/ffn/tile_rows.hpp"

#include <algorithm>
#include <cstring>

namespace hashep {

std::byte* stage_rows(ConstMatrixView rows, int64_t first, int64_t gemm_rows, DType operand,
                      Buffer& to) {
  const int64_t row_bytes = rows.cols * dtype_size(operand);
  std::byte* const begin = to.data() + first * row_bytes;
  std::byte* const end = begin + rows.rows * row_bytes;
  std::fill(to.data(), begin, std::byte{0});
  if (operand == rows.dtype) {
    std::memcpy(begin, rows.data, rows.bytes());
  } else {
    convert_to_float(rows.dtype, rows.data, rows.rows * rows.cols, reinterpret_cast<float*>(begin));
  }
  std::fill(end, to.data() + gemm_rows * row_bytes, std::byte{0});
  return to.data();
}

void unstage_rows(const Buffer& from, int64_t first, DType operand, MatrixView out) {
  const std::byte* const begin = from.data() + first * out.cols * dtype_size(operand);
  if (operand == out.dtype) {
    std::memcpy(out.data, begin, out.bytes());
  } else {
    convert_from_float(reinterpret_cast<const float*>(begin), out.rows * out.cols, out.dtype,
                       out.data);
  }
}

}  // namespace hashep
