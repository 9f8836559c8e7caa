// SPDX-License-Identifier: Apache-2.0
#include "core/quantise.hpp"

#include <algorithm>
#include <cmath>
#include <span>

#include "core/quantised_matrix.hpp"
#include "hashep/error.hpp"

namespace hashep {
namespace {

constexpr int kScaleBias = 127;
constexpr int kMostExponent = 254;

/// Magnitudes by code, in rising order.
std::span<const float> magnitudes(QuantFormat format) {
  constexpr size_t kOfFp4 = 8;
  constexpr size_t kOfFp8 = 127;  // the next one is NaN
  return {code_values(format), format == QuantFormat::fp4_e2m1 ? kOfFp4 : kOfFp8};
}

/// The e of the least 2^(e - 127) for which no value is beyond `most` times it.
int scale_exponent(float largest, float most) {
  if (largest == 0.0f) return kScaleBias;
  int power = 0;
  const float significand = std::frexp(largest / most, &power);  // in [0.5, 1), times 2^power
  if (significand == 0.5f) --power;
  return std::clamp(power + kScaleBias, 0, kMostExponent);
}

/// The code of the nearest magnitude: of two, the even code.
int nearest(float magnitude, std::span<const float> of) {
  const auto above = std::ranges::lower_bound(of, magnitude);
  if (above == of.begin()) return 0;
  if (above == of.end()) return static_cast<int>(std::ssize(of)) - 1;
  const int code = static_cast<int>(above - of.begin());
  const float up = *above - magnitude;
  const float down = magnitude - of[code - 1];
  if (up != down) return up < down ? code : code - 1;
  return code % 2 == 0 ? code : code - 1;
}

}  // namespace

QuantisedMatrix quantise(const float* values, int64_t rows, int64_t cols, QuantFormat format,
                         int64_t block_rows, int64_t block_cols) {
  const bool is_fp4 = format == QuantFormat::fp4_e2m1;
  if (is_fp4 && cols % 2 != 0) {
    throw InputError(std::to_string(cols) + " inputs of FP4, which come in pairs");
  }
  QuantisedMatrix made;
  QuantisedView& view = made.view;
  view = {format, ScaleFormat::e8m0, nullptr, nullptr, rows, cols, block_rows, block_cols};
  made.codes.resize(static_cast<size_t>(rows * view.code_row_bytes()));
  made.scales.resize(static_cast<size_t>(view.scale_rows() * view.scale_cols()));
  view.codes = made.codes.data();
  view.scales = made.scales.data();
  const std::span<const float> of = magnitudes(format);
  const auto sign = static_cast<int>(is_fp4 ? 8 : 128);
  for (int64_t block_row = 0; block_row < view.scale_rows(); ++block_row) {
    const int64_t row_end = std::min(rows, (block_row + 1) * block_rows);
    for (int64_t block_col = 0; block_col < view.scale_cols(); ++block_col) {
      const int64_t col_end = std::min(cols, (block_col + 1) * block_cols);
      float largest = 0.0f;
      for (int64_t row = block_row * block_rows; row < row_end; ++row) {
        for (int64_t col = block_col * block_cols; col < col_end; ++col) {
          largest = std::max(largest, std::fabs(values[row * cols + col]));
        }
      }
      const int e = scale_exponent(largest, of.back());
      made.scales[block_row * view.scale_cols() + block_col] = static_cast<std::byte>(e);
      for (int64_t row = block_row * block_rows; row < row_end; ++row) {
        for (int64_t col = block_col * block_cols; col < col_end; ++col) {
          const float value = values[row * cols + col];
          const int code = nearest(std::ldexp(std::fabs(value), kScaleBias - e), of) |
                           (std::signbit(value) ? sign : 0);
          std::byte& to = made.codes[row * view.code_row_bytes() + (is_fp4 ? col / 2 : col)];
          to |= static_cast<std::byte>(is_fp4 && col % 2 != 0 ? code << 4 : code);
        }
      }
    }
  }
  return made;
}

}  // namespace hashep
