// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "hashep/tensor_view.hpp"

namespace hashep {

/// sums[c] += sum over rows r of weights[r] * rows[r][c], in fp32 and in an order that follows from
/// the number of rows alone. rows: [n, cols], f32 or bf16; weights: [n], or null, which is `weight`
/// each; scratch, sums: [cols]. By one thread.
void add_column_sums(ConstMatrixView rows, const float* weights, float weight, float* scratch,
                     float* sums);

}  // namespace hashep
