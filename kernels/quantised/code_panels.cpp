// SPDX-License-Identifier: Apache-2.0
#include "kernels/quantised/code_panels.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "core/load.hpp"
#include "core/quantised_matrix.hpp"

namespace hashep {
namespace {

constexpr int64_t kOutputs = CodePanels::kGroupOutputs;

/// The low halves of the four bytes, side by side.
inline uint32_t gather_halves(uint32_t bytes) {
  const uint32_t halves = bytes & 0x0f0f0f0f;
  const uint32_t pairs = (halves | (halves >> 4)) & 0x00ff00ff;
  return (pairs | (pairs >> 8)) & 0xffff;
}

/// An output's part of a step of FP4: its two words.
inline uint32_t fp4_words(uint32_t codes) {
  return gather_halves(codes) | (gather_halves(codes >> 4) << 16);
}

/// Codes of FP8 with 0 for -0.
inline uint32_t without_minus_zeros(uint32_t codes) {
  const uint32_t magnitudes = codes & 0x7f7f7f7f;
  const uint32_t is_some = ((magnitudes + 0x7f7f7f7f) & 0x80808080);  // of bytes that are not 0
  return magnitudes | (codes & is_some);
}

using Rows = std::array<const std::byte*, kOutputs>;

HASHEP_EACH_VECTOR_WIDTH void pack_fp4(const Rows& rows, int64_t steps, std::byte* out) {
  for (int64_t i = 0; i < steps; ++i, out += CodePanels::kStepBytes) {
    std::array<uint32_t, kOutputs> codes;
    for (int64_t o = 0; o < kOutputs; ++o) codes[o] = load<uint32_t>(rows[o] + 4 * i);
    for (int64_t o = 0; o < kOutputs; ++o) codes[o] = fp4_words(codes[o]);
    std::memcpy(out, codes.data(), CodePanels::kStepBytes);
  }
}

HASHEP_EACH_VECTOR_WIDTH void pack_fp8(const Rows& rows, int64_t steps, std::byte* out) {
  for (int64_t i = 0; i < steps; ++i, out += CodePanels::kStepBytes) {
    std::array<uint32_t, kOutputs> codes;
    for (int64_t o = 0; o < kOutputs; ++o) codes[o] = load<uint32_t>(rows[o] + 4 * i);
    for (int64_t o = 0; o < kOutputs; ++o) codes[o] = without_minus_zeros(codes[o]);
    std::array<uint16_t, 2 * kOutputs> halves;
    for (int64_t o = 0; o < kOutputs; ++o) {
      halves[8 * (o / 4) + o % 4] = static_cast<uint16_t>(codes[o]);
      halves[8 * (o / 4) + 4 + o % 4] = static_cast<uint16_t>(codes[o] >> 16);
    }
    std::memcpy(out, halves.data(), CodePanels::kStepBytes);
  }
}

void pack_steps(QuantFormat format, const Rows& rows, int64_t steps, std::byte* out) {
  format == QuantFormat::fp4_e2m1 ? pack_fp4(rows, steps, out) : pack_fp8(rows, steps, out);
}

/// Rows beyond the last are those of `zeros`.
void pack_group(const QuantisedView& matrix, int64_t group, const std::byte* zeros,
                const CodePanels& panels) {
  constexpr int64_t kCodeBytes = 4;  // of a row, in a step
  const int64_t first = group * kOutputs;
  const int64_t row_bytes = matrix.code_row_bytes();
  Rows rows;
  for (int64_t o = 0; o < kOutputs; ++o) {
    rows[o] = first + o < matrix.rows ? matrix.codes + (first + o) * row_bytes : zeros;
  }
  std::byte* const out = panels.codes + group * panels.steps() * CodePanels::kStepBytes;
  const int64_t whole = row_bytes / kCodeBytes;
  pack_steps(matrix.format, rows, whole, out);
  if (whole < panels.steps()) {
    std::array<std::array<std::byte, kCodeBytes>, kOutputs> rest{};
    for (int64_t o = 0; o < kOutputs; ++o) {
      std::copy(rows[o] + whole * kCodeBytes, rows[o] + row_bytes, rest[o].data());
      rows[o] = rest[o].data();
    }
    pack_steps(matrix.format, rows, 1, out + whole * CodePanels::kStepBytes);
  }
  std::byte* scale = panels.scales + group * panels.blocks() * panels.block_scale_bytes();
  for (int64_t block = 0; block < panels.blocks(); ++block) {
    for (int64_t output = 0; output < kOutputs; ++output, scale += matrix.scale_bytes()) {
      const int64_t row = std::min(first + output, matrix.rows - 1) / matrix.block_rows;
      const std::byte* from =
          matrix.scales + (row * matrix.scale_cols() + block) * matrix.scale_bytes();
      std::memcpy(scale, from, static_cast<size_t>(matrix.scale_bytes()));
    }
  }
}

}  // namespace

CodePanels panels_of(const QuantisedView& shape) {
  return {shape.format, shape.scale_format, shape.rows, shape.cols, shape.block_cols};
}

CodePanels pack_codes(const QuantisedView& matrix, std::byte* memory) {
  CodePanels panels = panels_of(matrix);
  panels.is_exact = exact_dtype(matrix) == DType::bf16;
  panels.codes = memory;
  panels.scales = memory + panels.code_bytes();
  const std::vector<std::byte> zeros(static_cast<size_t>(matrix.code_row_bytes()));
  for (int64_t group = 0; group < panels.groups(); ++group) {
    pack_group(matrix, group, zeros.data(), panels);
  }
  return panels;
}

}  // namespace hashep
