// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "hashep/dtype.hpp"

namespace hashep {

/// How the elements of a quantised matrix are stored.
enum class QuantFormat {
  fp8_e4m3,  // 1 byte: sign, 4 bits of exponent (bias 7), 3 of significand; 0x7f and 0xff are NaN
  fp4_e2m1   // half a byte: sign and 0, .5, 1, 1.5, 2, 3, 4, 6; even columns in the low half
};

/// How its scales are stored.
enum class ScaleFormat {
  e8m0,  // 1 byte e: 2^(e - 127); 255 is NaN
  f32
};

/// "fp8", "fp4".
std::string_view quant_format_name(QuantFormat format);

/// A borrowed quantised matrix in host memory: element [r, c] is the value of its code times the
/// scale of the block that it is in. Formats: OCP Microscaling Formats (MX) v1.0, sections 5.3 and
/// 5.4; block sizes are the model's.
struct QuantisedView {
  QuantFormat format = QuantFormat::fp8_e4m3;
  ScaleFormat scale_format = ScaleFormat::e8m0;
  const std::byte* codes = nullptr;   // [rows, code_row_bytes()]
  const std::byte* scales = nullptr;  // [scale_rows(), scale_cols()]
  int64_t rows = 0;
  int64_t cols = 0;
  int64_t block_rows = 1;
  int64_t block_cols = 1;

  int64_t code_row_bytes() const { return format == QuantFormat::fp4_e2m1 ? cols / 2 : cols; }
  int64_t scale_rows() const { return (rows + block_rows - 1) / block_rows; }
  int64_t scale_cols() const { return (cols + block_cols - 1) / block_cols; }
  int64_t scale_bytes() const { return scale_format == ScaleFormat::f32 ? 4 : 1; }
};

/// Throws InputError naming `where` and the block where a scale is NaN or infinite.
void require_finite_scales(const QuantisedView& matrix, const std::string& where);
/// The same of codes, and the element.
void require_finite_codes(const QuantisedView& matrix, const std::string& where);

/// What holds the matrix exactly, as far as its scales tell: bf16 where they are powers of two and
/// no value is too small or too large for it, else f32, in which a product with a scale is rounded.
DType exact_dtype(const QuantisedView& matrix);

/// out <- rows [first_row, first_row + count) as `dtype`, exact_dtype's or f32.
void dequantise(const QuantisedView& matrix, int64_t first_row, int64_t count, DType dtype,
                std::byte* out);

}  // namespace hashep
