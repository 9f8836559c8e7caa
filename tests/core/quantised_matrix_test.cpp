// SPDX-License-Identifier: Apache-2.0
#include "core/quantised_matrix.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "hashep/error.hpp"
#include "tests/support/catch.hpp"

using namespace hashep;

namespace {

/// A quantised matrix that holds its memory.
struct Quantised {
  QuantisedView view;
  std::vector<std::byte> codes;
  std::vector<std::byte> scales;

  Quantised(QuantFormat format, ScaleFormat scale_format, int64_t rows, int64_t cols,
            int64_t block_rows, int64_t block_cols) {
    view = {format, scale_format, nullptr, nullptr, rows, cols, block_rows, block_cols};
    codes.resize(static_cast<size_t>(rows * view.code_row_bytes()));
    scales.resize(static_cast<size_t>(view.scale_rows() * view.scale_cols() * view.scale_bytes()));
    view.codes = codes.data();
    view.scales = scales.data();
  }

  std::vector<float> values(DType dtype) const {
    const auto count = static_cast<size_t>(view.rows * view.cols);
    std::vector<std::byte> stored(count * static_cast<size_t>(dtype_size(dtype)));
    dequantise(view, 0, view.rows, dtype, stored.data());
    std::vector<float> out(count);
    convert_to_float(dtype, stored.data(), view.rows * view.cols, out.data());
    return out;
  }
};

/// By the words of the format: (-1)^s 2^(e - 7) (1 + m / 8), subnormal where e is 0.
double e4m3(int code) {
  const int e = (code >> 3) & 15;
  const double m = (code & 7) / 8.0;
  const double magnitude = e == 0 ? std::pow(2.0, -6) * m : std::pow(2.0, e - 7) * (1 + m);
  return (code & 128) != 0 ? -magnitude : magnitude;
}

TEST_CASE("each code of FP8 has its value, times the scale of its block") {
  Quantised matrix(QuantFormat::fp8_e4m3, ScaleFormat::e8m0, 16, 16, 6, 10);
  REQUIRE(matrix.scales.size() == 3 * 2);
  for (int code = 0; code < 256; ++code) matrix.codes[code] = static_cast<std::byte>(code);
  for (size_t i = 0; i < 6; ++i) matrix.scales[i] = static_cast<std::byte>(120 + 3 * i);
  REQUIRE(exact_dtype(matrix.view) == DType::bf16);
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const std::vector<float> values = matrix.values(dtype);
    for (int code = 0; code < 256; ++code) {
      const int row = code / 16;
      const int col = code % 16;
      if ((code & 127) == 127) {
        CHECK(std::isnan(values[code]));
        continue;
      }
      const double scale = std::pow(2.0, 120 + 3 * (row / 6 * 2 + col / 10) - 127);
      CHECK(values[code] == e4m3(code) * scale);
    }
  }
  CHECK_THROWS_WITH(require_finite_codes(matrix.view, "here"),
                    ContainsSubstring("here: the code at [7, 15] is NaN"));
}

TEST_CASE("FP4 has two codes a byte, the even column's in its low half") {
  Quantised matrix(QuantFormat::fp4_e2m1, ScaleFormat::e8m0, 2, 80, 1, 32);
  REQUIRE(matrix.codes.size() == 2 * 40);
  REQUIRE(matrix.scales.size() == 2 * 3);
  for (size_t i = 0; i < 80; ++i) matrix.codes[i] = static_cast<std::byte>((i * 37 + 11) % 256);
  for (size_t i = 0; i < 6; ++i) matrix.scales[i] = static_cast<std::byte>(125 + i);
  const double magnitudes[] = {0, 0.5, 1, 1.5, 2, 3, 4, 6};
  const std::vector<float> values = matrix.values(DType::bf16);
  for (int64_t row = 0; row < 2; ++row) {
    for (int64_t col = 0; col < 80; ++col) {
      const int64_t byte = row * 40 + col / 2;
      const auto pair = static_cast<int>((byte * 37 + 11) % 256);
      const int code = col % 2 == 0 ? pair % 16 : pair / 16;
      const double sign = code < 8 ? 1 : -1;
      const double scale = std::pow(2.0, static_cast<double>(125 + row * 3 + col / 32 - 127));
      CHECK(values[static_cast<size_t>(row * 80 + col)] == sign * magnitudes[code % 8] * scale);
    }
  }
  require_finite_codes(matrix.view, "FP4 has no NaN");
}

TEST_CASE("scales in fp32 are multiplied once, in fp32") {
  Quantised matrix(QuantFormat::fp8_e4m3, ScaleFormat::f32, 1, 3, 128, 128);
  const float scale = 0.1f;
  std::memcpy(matrix.scales.data(), &scale, sizeof(scale));
  matrix.codes = {std::byte{0x39}, std::byte{0x7e}, std::byte{0x81}};  // 1.125, 448, -2^-9
  matrix.view.codes = matrix.codes.data();
  CHECK(exact_dtype(matrix.view) == DType::f32);
  CHECK(matrix.values(DType::f32) ==
        std::vector<float>{1.125f * 0.1f, 448.0f * 0.1f, -0.001953125f * 0.1f});
}

TEST_CASE("scales that bf16 cannot follow ask for fp32, and all others are exact in bf16") {
  Quantised matrix(QuantFormat::fp8_e4m3, ScaleFormat::e8m0, 1, 256, 1, 256);
  for (int code = 0; code < 256; ++code) {
    matrix.codes[code] = static_cast<std::byte>((code & 127) == 127 ? 0 : code);
  }
  int exact = 0;
  for (int e = 0; e < 255; ++e) {
    matrix.scales[0] = static_cast<std::byte>(e);
    if (exact_dtype(matrix.view) != DType::bf16) continue;
    ++exact;
    REQUIRE(matrix.values(DType::bf16) == matrix.values(DType::f32));
    for (const float value : matrix.values(DType::f32)) REQUIRE(std::isfinite(value));
  }
  CHECK(exact > 200);
  matrix.scales[0] = std::byte{0};
  CHECK(exact_dtype(matrix.view) == DType::f32);
  CHECK(matrix.values(DType::f32)[1] == std::ldexp(1.0f, -9 - 127));
}

TEST_CASE("scales that are not finite are named") {
  Quantised bytes(QuantFormat::fp4_e2m1, ScaleFormat::e8m0, 2, 64, 1, 32);
  require_finite_scales(bytes.view, "fine");
  bytes.scales[3] = std::byte{255};
  CHECK_THROWS_WITH(require_finite_scales(bytes.view, "there"),
                    ContainsSubstring("there: the scale at [1, 1] is NaN or infinite"));
  Quantised floats(QuantFormat::fp8_e4m3, ScaleFormat::f32, 4, 4, 2, 2);
  const float infinite = std::numeric_limits<float>::infinity();
  std::memcpy(floats.scales.data() + 8, &infinite, sizeof(infinite));
  CHECK_THROWS_AS(require_finite_scales(floats.view, "there"), InputError);
}

}  // namespace
