// SPDX-License-Identifier: Apache-2.0
#include "core/quantise.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <vector>

#include "core/quantised_matrix.hpp"
#include "hashep/error.hpp"
#include "tests/support/catch.hpp"

using namespace hashep;

namespace {

std::vector<float> values_of(const QuantisedView& matrix) {
  std::vector<float> values(static_cast<size_t>(matrix.rows * matrix.cols));
  dequantise(matrix, 0, matrix.rows, DType::f32, reinterpret_cast<std::byte*>(values.data()));
  return values;
}

std::vector<float> random_values(size_t count, float scale) {
  std::mt19937 random(1);
  std::normal_distribution<float> normal(0.0f, scale);
  std::vector<float> values(count);
  for (float& value : values) value = normal(random);
  return values;
}

/// The distance to the nearest value that a code of the format has with the block's scale.
float least_distance(float value, float scale, QuantFormat format) {
  const int codes = format == QuantFormat::fp4_e2m1 ? 16 : 256;
  float least = INFINITY;
  for (int code = 0; code < codes; ++code) {
    const float of_code = code_values(format)[code] * scale;
    if (!std::isnan(of_code)) least = std::min(least, std::fabs(of_code - value));
  }
  return least;
}

}  // namespace

TEST_CASE("each value becomes the nearest, with the least scale that cuts none") {
  for (const QuantFormat format : {QuantFormat::fp4_e2m1, QuantFormat::fp8_e4m3}) {
    const bool is_fp4 = format == QuantFormat::fp4_e2m1;
    const float most = is_fp4 ? 6.0f : 448.0f;
    for (const float scale : {1e-30f, 0.02f, 1e20f}) {
      const std::vector<float> values = random_values(6 * 40, scale);
      const QuantisedMatrix made = quantise(values.data(), 6, 40, format, is_fp4 ? 1 : 4, 32);
      const std::vector<float> now = values_of(made.view);
      for (int64_t row = 0; row < 6; ++row) {
        for (int64_t col = 0; col < 40; ++col) {
          const float of_block =
              scale_of_block(made.view, row / made.view.block_rows, col / made.view.block_cols);
          const float value = values[row * 40 + col];
          CHECK(std::fabs(value) <= most * of_block);
          CHECK(std::fabs(now[row * 40 + col] - value) == least_distance(value, of_block, format));
        }
      }
      // Half the scale would cut the largest value of some row of each block.
      float largest = 0.0f;
      for (int64_t col = 0; col < 32; ++col) {
        for (int64_t row = 0; row < made.view.block_rows; ++row) {
          largest = std::max(largest, std::fabs(values[row * 40 + col]));
        }
      }
      CHECK(largest > most * scale_of_block(made.view, 0, 0) / 2.0f);
    }
  }
}

TEST_CASE("ties go to the even code, and zeros stay") {
  const std::vector<float> ties = {6, 0.25f, 0.75f, 1.25f, 1.75f, 2.5f, 3.5f, 5, -0.25f, -5, 0, 0};
  const QuantisedMatrix made = quantise(ties.data(), 1, 12, QuantFormat::fp4_e2m1, 1, 32);
  CHECK(values_of(made.view) == std::vector<float>{6, 0, 1, 1, 2, 2, 4, 4, -0.0f, -4, 0, 0});
  const std::vector<float> zeros(8, 0.0f);
  CHECK(values_of(quantise(zeros.data(), 2, 4, QuantFormat::fp8_e4m3, 2, 4).view) == zeros);
  CHECK_THROWS_AS(quantise(zeros.data(), 1, 3, QuantFormat::fp4_e2m1, 1, 32), InputError);
}

TEST_CASE("what was quantised before keeps its values, and FP4 does as FP8") {
  const std::vector<float> values = random_values(16 * 64, 0.1f);
  for (const QuantFormat format : {QuantFormat::fp4_e2m1, QuantFormat::fp8_e4m3}) {
    const bool is_fp4 = format == QuantFormat::fp4_e2m1;
    const int64_t rows = is_fp4 ? 1 : 8;
    const QuantisedMatrix once = quantise(values.data(), 16, 64, format, rows, 32);
    const std::vector<float> kept = values_of(once.view);
    CHECK(values_of(quantise(kept.data(), 16, 64, format, rows, 32).view) == kept);
    if (is_fp4) {
      CHECK(values_of(quantise(kept.data(), 16, 64, QuantFormat::fp8_e4m3, 16, 64).view) == kept);
    }
  }
}
