// SPDX-License-Identifier: Apache-2.0
#include "core/quantised_matrix.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#include "core/load.hpp"
#include "hashep/error.hpp"

namespace hashep {
namespace {

constexpr int kScaleBias = 127;
constexpr uint8_t kScaleNan = 255;
// Least and largest e of scales with which each product is a normal number of bf16, and so exact:
// codes that are not 0 are 2^-9 to 448 in magnitude, with at most 4 bits.
constexpr uint8_t kLeastExact = 16;
constexpr uint8_t kMostExact = 245;

constexpr float fp8_value(uint8_t code) {
  const int exponent = (code >> 3) & 15;
  const int significand = code & 7;
  if (exponent == 15 && significand == 7) return std::numeric_limits<float>::quiet_NaN();
  // The last bit of the significand, a power of two, by its bits.
  const int power = exponent == 0 ? -9 : exponent - 10;
  const float unit = std::bit_cast<float>(static_cast<uint32_t>(power + kScaleBias) << 23);
  const auto magnitude = static_cast<float>(exponent == 0 ? significand : 8 + significand) * unit;
  return (code & 0x80) != 0 ? -magnitude : magnitude;
}

constexpr std::array<float, 256> kFp8Values = [] {
  std::array<float, 256> values{};
  for (int code = 0; code < 256; ++code) values[code] = fp8_value(static_cast<uint8_t>(code));
  return values;
}();

constexpr std::array<float, 16> kFp4Values = {0.0f,  0.5f,  1.0f,  1.5f,  2.0f,  3.0f,
                                              4.0f,  6.0f,  -0.0f, -0.5f, -1.0f, -1.5f,
                                              -2.0f, -3.0f, -4.0f, -6.0f};

float e8m0_value(uint8_t e) {
  return e == kScaleNan ? std::numeric_limits<float>::quiet_NaN()
                        : std::ldexp(1.0f, e - kScaleBias);
}

void dequantise_row(const QuantisedView& matrix, int64_t row, float* out) {
  const std::byte* codes = matrix.codes + row * matrix.code_row_bytes();
  for (int64_t block = 0; block < matrix.scale_cols(); ++block) {
    const float scale = scale_of_block(matrix, row / matrix.block_rows, block);
    const int64_t end = std::min(matrix.cols, (block + 1) * matrix.block_cols);
    for (int64_t col = block * matrix.block_cols; col < end; ++col) {
      if (matrix.format == QuantFormat::fp8_e4m3) {
        out[col] = kFp8Values[static_cast<uint8_t>(codes[col])] * scale;
      } else {
        const auto pair = static_cast<uint8_t>(codes[col / 2]);
        out[col] = kFp4Values[col % 2 == 0 ? pair & 15 : pair >> 4] * scale;
      }
    }
  }
}

}  // namespace

float scale_of_block(const QuantisedView& matrix, int64_t row, int64_t col) {
  const std::byte* at = matrix.scales + (row * matrix.scale_cols() + col) * matrix.scale_bytes();
  return matrix.scale_format == ScaleFormat::f32 ? load<float>(at)
                                                 : e8m0_value(static_cast<uint8_t>(*at));
}

const float* code_values(QuantFormat format) {
  return format == QuantFormat::fp4_e2m1 ? kFp4Values.data() : kFp8Values.data();
}

std::string_view quant_format_name(QuantFormat format) {
  return format == QuantFormat::fp4_e2m1 ? "fp4" : "fp8";
}

void require_finite_scales(const QuantisedView& matrix, const std::string& where) {
  for (int64_t row = 0; row < matrix.scale_rows(); ++row) {
    for (int64_t col = 0; col < matrix.scale_cols(); ++col) {
      if (std::isfinite(scale_of_block(matrix, row, col))) continue;
      throw InputError(where + ": the scale at [" + std::to_string(row) + ", " +
                       std::to_string(col) + "] is NaN or infinite");
    }
  }
}

void require_finite_codes(const QuantisedView& matrix, const std::string& where) {
  if (matrix.format != QuantFormat::fp8_e4m3) return;
  const std::byte* end = matrix.codes + matrix.rows * matrix.cols;
  const std::byte* bad = std::find_if(matrix.codes, end, [](std::byte code) {
    return (code & std::byte{0x7f}) == std::byte{0x7f};
  });
  if (bad == end) return;
  const int64_t index = bad - matrix.codes;
  throw InputError(where + ": the code at [" + std::to_string(index / matrix.cols) + ", " +
                   std::to_string(index % matrix.cols) + "] is NaN");
}

DType exact_dtype(const QuantisedView& matrix) {
  if (matrix.scale_format != ScaleFormat::e8m0) return DType::f32;
  const std::byte* end = matrix.scales + matrix.scale_rows() * matrix.scale_cols();
  const bool is_exact = std::all_of(matrix.scales, end, [](std::byte scale) {
    return static_cast<uint8_t>(scale) >= kLeastExact && static_cast<uint8_t>(scale) <= kMostExact;
  });
  return is_exact ? DType::bf16 : DType::f32;
}

bool can_stay_packed(const QuantisedView& matrix) {
  constexpr int64_t kMultiple = 8;
  return matrix.rows == 0 || matrix.block_cols % kMultiple == 0;
}

void dequantise(const QuantisedView& matrix, int64_t first_row, int64_t count, DType dtype,
                std::byte* out) {
  std::vector<float> row(dtype == DType::f32 ? 0 : matrix.cols);
  for (int64_t i = 0; i < count; ++i) {
    std::byte* to = out + i * matrix.cols * dtype_size(dtype);
    if (dtype == DType::f32) {
      dequantise_row(matrix, first_row + i, reinterpret_cast<float*>(to));
      continue;
    }
    dequantise_row(matrix, first_row + i, row.data());
    convert_from_float(row.data(), matrix.cols, dtype, to);
  }
}

}  // namespace hashep
