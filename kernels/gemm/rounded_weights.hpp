// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "hashep/buffer.hpp"
#include "hashep/tensor_view.hpp"

namespace hashep {

/// Weights of any float type and alignment, rounded to `precision` (f32 or bf16), as values of
/// `operand` (f32, or bf16 where that is the precision). In `scratch`, which grows to what that
/// takes, or where they stand already.
const std::byte* as_operand(ConstMatrixView weights, DType precision, DType operand,
                            Buffer& scratch);

/// A bias [1, size] as floats; zeros where it has no rows. `out` has room.
void fill_bias(ConstMatrixView bias, int64_t size, Buffer& out);

}  // namespace hashep
