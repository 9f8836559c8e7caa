// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "hashep/dtype.hpp"
#include "hashep/quantised_view.hpp"

namespace hashep {

/// "fp8", "fp4".
std::string_view quant_format_name(QuantFormat format);

/// Throws InputError naming `where` and the block where a scale is NaN or infinite.
void require_finite_scales(const QuantisedView& matrix, const std::string& where);
/// The same of codes, and the element.
void require_finite_codes(const QuantisedView& matrix, const std::string& where);

/// What holds the matrix exactly, as far as its scales tell: bf16 where they are powers of two and
/// no value is too small or too large for it, else f32, in which a product with a scale is rounded.
DType exact_dtype(const QuantisedView& matrix);

/// Whether it can stay quantised in memory (CodePanels): blocks of scales are multiples of 8
/// inputs. True where there is no matrix.
bool can_stay_packed(const QuantisedView& matrix);

/// out <- rows [first_row, first_row + count) as `dtype`, exact_dtype's or f32.
void dequantise(const QuantisedView& matrix, int64_t first_row, int64_t count, DType dtype,
                std::byte* out);

/// Values of codes: [256] of FP8 (NaN where it is), [16] of FP4.
const float* code_values(QuantFormat format);
/// The scale of the block [row, col] of blocks.
float scale_of_block(const QuantisedView& matrix, int64_t row, int64_t col);

}  // namespace hashep
