// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/weight_sample.hpp"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

#include "core/quantised_matrix.hpp"
#include "core/random.hpp"

namespace hashep {

uint64_t content_digest(ConstMatrixView matrix, uint64_t seed) {
  return XXH64(matrix.data, static_cast<size_t>(matrix.bytes()), seed);
}

uint64_t content_digest(const FfnWeights& weights) {
  uint64_t digest = 0;
  for (const ConstMatrixView& matrix :
       {weights.w1, weights.w2, weights.w3, weights.bias1, weights.bias2, weights.bias3}) {
    digest = content_digest(matrix, digest);
  }
  const QuantisedFfn& quantised = weights.quantised;
  for (const QuantisedView& matrix : {quantised.w1, quantised.w2, quantised.w3}) {
    if (matrix.rows == 0) continue;
    const int64_t codes = matrix.rows * matrix.code_row_bytes();
    const int64_t scales = matrix.scale_rows() * matrix.scale_cols() * matrix.scale_bytes();
    digest = XXH64(matrix.codes, static_cast<size_t>(codes), digest);
    digest = XXH64(matrix.scales, static_cast<size_t>(scales), digest);
  }
  return digest;
}

WeightSample::WeightSample(int64_t layer, int64_t expert)
    : key_(derive_key(static_cast<uint64_t>(layer), static_cast<uint64_t>(expert))) {}

void WeightSample::add(DType dtype, int64_t rows, int64_t cols, const ReadRow& read) {
  std::array<std::byte, kBytes> row;
  const std::span<std::byte> bytes(row.data(),
                                   static_cast<size_t>(std::min(kBytes, cols * dtype_size(dtype))));
  const uint64_t key = derive_key(key_, matrices_++);
  for (int64_t i = 0; i < std::min(kRows, rows); ++i) {
    const uint64_t drawn = random_bits(key, static_cast<uint64_t>(i));
    read(rows <= kRows ? i : static_cast<int64_t>(drawn % static_cast<uint64_t>(rows)), bytes);
    value_ = XXH64(bytes.data(), bytes.size(), value_);
  }
}

void WeightSample::add(ConstMatrixView matrix) {
  add(matrix.dtype, matrix.rows, matrix.cols, [&](int64_t row, std::span<std::byte> out) {
    std::memcpy(out.data(), matrix.row(row), out.size());
  });
}

void WeightSample::add(const QuantisedView& matrix) {
  const DType dtype = exact_dtype(matrix);
  std::vector<std::byte> values(static_cast<size_t>(matrix.cols * dtype_size(dtype)));
  add(dtype, matrix.rows, matrix.cols, [&](int64_t row, std::span<std::byte> out) {
    dequantise(matrix, row, 1, dtype, values.data());
    std::memcpy(out.data(), values.data(), out.size());
  });
}

uint64_t weight_sample(const FfnWeights& weights, int64_t layer, int64_t expert) {
  WeightSample sample(layer, expert);
  const auto add = [&](ConstMatrixView matrix, const QuantisedView& quantised,
                       ConstMatrixView bias) {
    if (matrix.rows > 0) sample.add(matrix);
    if (quantised.rows > 0) sample.add(quantised);
    if (bias.rows > 0) sample.add(bias);
  };
  add(weights.w1, weights.quantised.w1, weights.bias1);
  add(weights.w2, weights.quantised.w2, weights.bias2);
  add(weights.w3, weights.quantised.w3, weights.bias3);
  return sample.value();
}

}  // namespace hashep
