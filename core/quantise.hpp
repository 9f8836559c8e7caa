// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "hashep/quantised_view.hpp"

namespace hashep {

/// A quantised matrix that owns its memory.
struct QuantisedMatrix {
  QuantisedView view;  // of the memory
  std::vector<std::byte> codes;
  std::vector<std::byte> scales;
};

/// Quantises values [rows, cols] that are finite. The scale of a block is the least power of two
/// with which none of its values is beyond the largest of the format (6, 448): in E8M0, 2^-127 at
/// least. A value becomes that of the nearest code, of two that are as near the even one. So what
/// was quantised in this format and these blocks before keeps its values, and FP4 keeps its values
/// as FP8 where the scales of a block of FP8 are within 2^13. Throws InputError where the columns
/// of FP4 are odd in number.
QuantisedMatrix quantise(const float* values, int64_t rows, int64_t cols, QuantFormat format,
                         int64_t block_rows, int64_t block_cols);

}  // namespace hashep
