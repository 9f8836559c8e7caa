// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "hashep/row_block.hpp"
#include "hashep/tensor_view.hpp"

namespace hashep {

/// Permute at the source: out.row(rows[i * top_k + j]) = x.row(i) for all tokens i and choices j;
/// assignments with row -1 (padding tokens) are left out. Reads x in order.
/// x: [tokens, d]; rows: [tokens * top_k]; out: [assignments, d]; same dtype; must not overlap.
void permute_rows(ConstMatrixView x, std::span<const int64_t> rows, int top_k, MatrixView out,
                  int threads);

/// Messages (rank-major) -> expert-major rows, block by block. Same dtype; must not overlap.
void copy_blocks_to_experts(ConstMatrixView messages, std::span<const RowBlock> blocks,
                            MatrixView expert_rows, int threads);

/// The inverse of copy_blocks_to_experts.
void copy_blocks_from_experts(ConstMatrixView expert_rows, std::span<const RowBlock> blocks,
                              MatrixView messages, int threads);

}  // namespace hashep
