// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "hashep/ffn_shape.hpp"

namespace hashep {

/// Throws InputError naming `where` and the element if a value is NaN or infinite, or becomes so
/// when it is rounded to `dtype`. fp32, fp16 or bf16, of any alignment. first_row: the number by
/// which row 0 is named.
void require_finite(ConstMatrixView matrix, const std::string& where, DType dtype = DType::f32,
                    int64_t first_row = 0);
/// The same of values of codes times scales.
void require_finite(const QuantisedView& matrix, const std::string& where, DType dtype);
void require_finite(const FfnWeights& weights, const std::string& where, DType dtype = DType::f32);

}  // namespace hashep
