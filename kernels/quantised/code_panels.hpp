// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "hashep/quantised_view.hpp"

namespace hashep {

/// Codes of a quantised matrix in the order in which kernels read them, in memory of somebody else:
/// as many bytes as in a file, but for scales, which are repeated for each output.
///
/// Outputs stand in groups of 16, and a group's inputs in steps of 64 bytes. A step holds pairs of
/// inputs of 16 outputs, as bf16 products take them: 32 elements, element j being input j % 2 of
/// the pair of output j / 2.
///   FP4: 4 pairs; the 16-bit word j has element j of pair p in its bits [4 p, 4 p + 4).
///   FP8: 2 pairs; element j of pair p is byte 16 (j / 8) + 8 p + j % 8.
/// Outputs and inputs beyond the last are 0, and -0 is stored as 0.
struct CodePanels {
  static constexpr int64_t kGroupOutputs = 16;
  static constexpr int64_t kStepBytes = 64;

  QuantFormat format = QuantFormat::fp8_e4m3;
  ScaleFormat scale_format = ScaleFormat::e8m0;
  int64_t outputs = 0;
  int64_t inputs = 0;
  int64_t block_inputs = 8;     // that share a scale
  bool is_exact = false;        // each value is a normal number of bf16, or 0: see exact_dtype
  std::byte* codes = nullptr;   // [groups()][steps()][kStepBytes]
  std::byte* scales = nullptr;  // [groups()][blocks()][16], of scale_format

  int64_t groups() const { return (outputs + kGroupOutputs - 1) / kGroupOutputs; }
  int64_t step_inputs() const { return format == QuantFormat::fp4_e2m1 ? 8 : 4; }
  int64_t steps() const { return (inputs + step_inputs() - 1) / step_inputs(); }
  int64_t block_steps() const { return block_inputs / step_inputs(); }
  int64_t blocks() const { return (inputs + block_inputs - 1) / block_inputs; }
  int64_t block_scale_bytes() const {
    return kGroupOutputs * (scale_format == ScaleFormat::f32 ? 4 : 1);
  }
  int64_t code_bytes() const { return groups() * steps() * kStepBytes; }
  int64_t scale_bytes() const { return groups() * blocks() * block_scale_bytes(); }
  /// Of both, the codes' being first.
  int64_t bytes() const { return code_bytes() + scale_bytes(); }

  const std::byte* group_codes(int64_t group) const { return codes + group * steps() * kStepBytes; }
  const std::byte* group_scales(int64_t group) const {
    return scales + group * blocks() * block_scale_bytes();
  }
};

/// What panels of the matrix take: without memory, and is_exact is not known.
CodePanels panels_of(const QuantisedView& shape);

/// Fills `memory`, aligned to a cache line, panels_of(matrix).bytes() of it.
/// can_stay_packed(matrix) must be true.
CodePanels pack_codes(const QuantisedView& matrix, std::byte* memory);

}  // namespace hashep
