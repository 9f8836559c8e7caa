// SPDX-License-Identifier: Apache-2.0
#include "tests/kernels/kernel_inputs.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>

#include "core/random.hpp"
#include "hashep/error.hpp"

namespace hashep::test {
namespace {

/// Rounds to binary16, by truncation; values of tests are well inside its normal range.
uint16_t f16_bits(float value) {
  const auto word = std::bit_cast<uint32_t>(value);
  const int exponent = static_cast<int>((word >> 23) & 0xffu) - 127 + 15;
  const uint32_t sign = (word >> 16) & 0x8000u;
  if (exponent <= 0) return static_cast<uint16_t>(sign);
  return static_cast<uint16_t>(sign | static_cast<uint32_t>(exponent) << 10 |
                               ((word >> 13) & 0x3ffu));
}

}  // namespace

Matrix::Matrix(DType dtype, int64_t rows, int64_t cols, int misaligned_by, int poison)
    : buffer_(rows * cols * dtype_size(dtype) + misaligned_by),
      offset_(misaligned_by),
      dtype_(dtype),
      rows_(rows),
      cols_(cols) {
  if (buffer_.capacity() > 0) {
    std::memset(buffer_.data(), poison, buffer_.capacity());
  }
}

std::vector<float> Matrix::row(int64_t index) const {
  std::vector<float> out(cols_);
  convert_to_float(dtype_, view().row(index), cols_, out.data());
  return out;
}

std::vector<float> Matrix::values() const {
  std::vector<float> out(rows_ * cols_);
  convert_to_float(dtype_, view().data, rows_ * cols_, out.data());
  return out;
}

void Matrix::set(const std::vector<float>& values) {
  for (size_t i = 0; i < values.size(); ++i) {
    std::byte* to = view().data + static_cast<int64_t>(i) * dtype_size(dtype_);
    if (dtype_ == DType::f32) {
      std::memcpy(to, &values[i], sizeof(float));
    } else if (dtype_ == DType::bf16) {
      const BFloat16 rounded(values[i]);
      std::memcpy(to, &rounded, sizeof(rounded));
    } else {
      const uint16_t bits = f16_bits(values[i]);
      std::memcpy(to, &bits, sizeof(bits));
    }
  }
}

Matrix random_matrix(DType dtype, int64_t rows, int64_t cols, uint64_t key, float scale,
                     int misaligned_by) {
  std::vector<float> values(rows * cols);
  fill_normal(key, 0, values);
  for (float& value : values) value *= scale;
  Matrix matrix(dtype, rows, cols, misaligned_by);
  matrix.set(values);
  return matrix;
}

bool same_bits(const Matrix& a, const Matrix& b) {
  return a.view().bytes() == b.view().bytes() &&
         std::equal(a.view().data, a.view().data + a.view().bytes(), b.view().data);
}

FfnWeights ExpertWeights::view(bool with_biases) const {
  FfnWeights weights{w1.view(), w2.view(), w3.view(), {}, {}, {}};
  if (w3.view().rows == 0) weights.w3 = {};
  if (with_biases) {
    weights.bias1 = bias1.view();
    weights.bias2 = bias2.view();
    if (w3.view().rows > 0) weights.bias3 = bias3.view();
  }
  return weights;
}

ExpertWeights random_expert(const FfnShape& shape, DType dtype, uint64_t key, float scale,
                            int misaligned_by) {
  const int64_t d = shape.hidden_size;
  const int64_t f = shape.ffn_size;
  const float in_scale = scale / std::sqrt(static_cast<float>(d));
  const float out_scale = 1.0f / std::sqrt(static_cast<float>(f));
  const bool gated = shape.activation == Activation::silu;
  return {random_matrix(dtype, f, d, derive_key(key, 1), in_scale, misaligned_by),
          random_matrix(dtype, d, f, derive_key(key, 2), out_scale, misaligned_by),
          random_matrix(dtype, gated ? f : 0, d, derive_key(key, 3), in_scale, misaligned_by),
          random_matrix(dtype, 1, f, derive_key(key, 4), 0.5f, misaligned_by),
          random_matrix(dtype, 1, d, derive_key(key, 5), 0.5f, misaligned_by),
          random_matrix(dtype, 1, f, derive_key(key, 6), 0.5f, misaligned_by)};
}

double relative_error(const std::vector<float>& a, const std::vector<float>& b) {
  if (a.size() != b.size()) throw RunError("relative_error: sizes differ");
  double difference = 0.0;
  double norm = 0.0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += (double{a[i]} - b[i]) * (double{a[i]} - b[i]);
    norm += double{b[i]} * b[i];
  }
  return std::sqrt(difference / norm);
}

}  // namespace hashep::test
