// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "hashep/buffer.hpp"
#include "hashep/tensor_view.hpp"

namespace hashep {

/// A matrix of any float type and alignment, rounded to `precision` (f32 or bf16) and held in fp32,
/// row-major.
Buffer rounded_weights(ConstMatrixView weights, DType precision);

/// A bias [1, size] in fp32; zeros where it has no rows, so that a row's bits do not depend on
/// other experts having one.
Buffer bias_values(ConstMatrixView bias, int64_t size);

}  // namespace hashep
