// SPDX-License-Identifier: Apache-2.0
#include "kernels/quantised/code_panels.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "core/load.hpp"
#include "core/quantised_matrix.hpp"

namespace hashep {
namespace {

constexpr int64_t kOutputs = CodePanels::kGroupOutputs;

/// 4 bytes of a row of codes: 8 inputs of FP4, 4 of FP8. Zeros beyond the row.
uint32_t load_codes(const std::byte* row, int64_t row_bytes, int64_t at) {
  if (at + 4 <= row_bytes) return load<uint32_t>(row + at);
  uint32_t codes = 0;
  if (at < row_bytes) std::memcpy(&codes, row + at, static_cast<size_t>(row_bytes - at));
  return codes;
}

/// The low halves of the four bytes, side by side.
uint32_t gather_halves(uint32_t bytes) {
  const uint32_t halves = bytes & 0x0f0f0f0f;
  const uint32_t pairs = (halves | (halves >> 4)) & 0x00ff00ff;
  return (pairs | (pairs >> 8)) & 0xffff;
}

/// An output's part of a step of FP4: its two words.
uint32_t fp4_words(uint32_t codes) {
  return gather_halves(codes) | (gather_halves(codes >> 4) << 16);
}

/// Codes of FP8 with 0 for -0.
uint32_t without_minus_zeros(uint32_t codes) {
  const uint32_t magnitudes = codes & 0x7f7f7f7f;
  const uint32_t is_some = ((magnitudes + 0x7f7f7f7f) & 0x80808080);  // of bytes that are not 0
  return magnitudes | (codes & is_some);
}

void pack_step(QuantFormat format, const std::array<uint32_t, kOutputs>& codes, std::byte* step) {
  if (format == QuantFormat::fp4_e2m1) {
    std::array<uint32_t, kOutputs> words;
    for (int64_t output = 0; output < kOutputs; ++output) words[output] = fp4_words(codes[output]);
    std::memcpy(step, words.data(), CodePanels::kStepBytes);
    return;
  }
  for (int64_t output = 0; output < kOutputs; ++output) {
    const uint32_t four = without_minus_zeros(codes[output]);
    const auto first = static_cast<uint16_t>(four);
    const auto second = static_cast<uint16_t>(four >> 16);
    std::byte* const to = step + 16 * (output / 4) + 2 * (output % 4);
    std::memcpy(to, &first, 2);
    std::memcpy(to + 8, &second, 2);
  }
}

void pack_group(const QuantisedView& matrix, int64_t group, const CodePanels& panels) {
  const int64_t first = group * kOutputs;
  const int64_t count = std::min(kOutputs, matrix.rows - first);
  const int64_t row_bytes = matrix.code_row_bytes();
  std::byte* step = panels.codes + group * panels.steps() * CodePanels::kStepBytes;
  std::array<uint32_t, kOutputs> codes{};
  for (int64_t i = 0; i < panels.steps(); ++i, step += CodePanels::kStepBytes) {
    for (int64_t output = 0; output < count; ++output) {
      codes[output] = load_codes(matrix.codes + (first + output) * row_bytes, row_bytes, 4 * i);
    }
    pack_step(matrix.format, codes, step);
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
  for (int64_t group = 0; group < panels.groups(); ++group) pack_group(matrix, group, panels);
  return panels;
}

}  // namespace hashep
