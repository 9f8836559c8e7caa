// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace hashep {

/// How the elements of a quantised matrix are stored.
enum class QuantFormat {
  fp8_e4m3,  ///< 1 byte: sign, 4 bits of exponent (bias 7), 3 of significand; 0x7f, 0xff: NaN
  fp4_e2m1   ///< half a byte: sign and 0, .5, 1, 1.5, 2, 3, 4, 6; even columns in the low half
};

/// How its scales are stored.
enum class ScaleFormat {
  e8m0,  ///< 1 byte e: 2^(e - 127); 255 is NaN
  f32    ///< a float
};

/// A borrowed quantised matrix in host memory: element [r, c] is the value of its code times the
/// scale of the block that it is in. Formats: OCP Microscaling Formats (MX) v1.0, sections 5.3 and
/// 5.4; block sizes are the model's. No rows: there is none.
struct QuantisedView {
  QuantFormat format = QuantFormat::fp8_e4m3;    ///< of codes
  ScaleFormat scale_format = ScaleFormat::e8m0;  ///< of scales
  const std::byte* codes = nullptr;              ///< [rows, code_row_bytes()]
  const std::byte* scales = nullptr;             ///< [scale_rows(), scale_cols()]
  int64_t rows = 0;                              ///< outputs
  int64_t cols = 0;                              ///< inputs; with FP4 an even number
  int64_t block_rows = 1;                        ///< rows that share a scale
  int64_t block_cols = 1;                        ///< columns that do

  /// Bytes of a row of codes.
  int64_t code_row_bytes() const { return format == QuantFormat::fp4_e2m1 ? cols / 2 : cols; }
  /// Rows of scales.
  int64_t scale_rows() const { return (rows + block_rows - 1) / block_rows; }
  /// Columns of scales.
  int64_t scale_cols() const { return (cols + block_cols - 1) / block_cols; }
  /// Bytes of a scale.
  int64_t scale_bytes() const { return scale_format == ScaleFormat::f32 ? 4 : 1; }
};

}  // namespace hashep
