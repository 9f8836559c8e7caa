// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "hashep/dtype.hpp"
#include "kernels/gemm/fused_gemm.hpp"

namespace hashep::test {

/// The epilogue of a fused GEMM, run by the CPU for each thread of each tile, as CUTLASS's kernel
/// calls it: from sums [rows, cols], which each thread holds as the kernel's products leave them in
/// its registers, to y. What is not written is NaN, as is a margin behind y.
std::vector<BFloat16> run_epilogue(const std::vector<float>& sums, int rows, int cols,
                                   const FusedEpilogue& epilogue, const float* bias1,
                                   const float* bias3);

inline constexpr int64_t kMargin = 64;  // elements

}  // namespace hashep::test
