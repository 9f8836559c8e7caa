// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "hashep/dtype.hpp"

namespace hashep {

/// Where a GEMM's library wants weights [outputs, inputs] to stand: in blocks of outputs by inputs,
/// in each of which inputs come one after the other, or two by two, with all outputs of the block
/// side by side. Element [o, i] is at
///   o / block_outputs * output_stride + i / block_inputs * input_stride
///     + i % block_inputs / pair * pair * block_outputs + o % block_outputs * pair + i % pair.
/// Blocks at the edges are whole, and what is beyond the edge must be 0.
struct OperandLayout {
  DType dtype = DType::f32;   // f32 or bf16
  int64_t block_outputs = 0;  // a multiple of 16
  int64_t block_inputs = 0;   // a multiple of 8
  int64_t pair = 1;           // 2 with bf16, 1 with f32
  int64_t output_stride = 0;  // elements
  int64_t input_stride = 0;

  bool operator==(const OperandLayout&) const = default;
};

}  // namespace hashep
