// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "hashep/dtype.hpp"
#include "kernels/quantised/code_panels.hpp"

namespace hashep {

/// Rows of one product, most: each has sums of its own in registers.
inline constexpr int64_t kMostFewRows = 8;

/// Whether few_rows_product runs here, with these panels: AVX-512 with VBMI and bf16, and inputs in
/// whole steps.
bool has_few_rows(const CodePanels& panels);

/// What part_inputs is a multiple of.
inline constexpr int64_t kPartMultiple = 8;

/// sums <- x W^T, where W is expanded in registers, as bf16, and never stored: x [rows, inputs] of
/// bf16, sums [rows, outputs]. Sums in fp32 by VDPBF16PS, over pairs of inputs one after the other,
/// anew for each `part_inputs` inputs, whose sums are added in their order.
void few_rows_product(const CodePanels& panels, int64_t part_inputs, int64_t rows,
                      const std::byte* x, float* sums);

/// Rounds sums to bf16 as the instruction does, to nearest even.
void few_rows_round(const float* sums, int64_t count, std::byte* out);

}  // namespace hashep
