// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/weight_sample.hpp"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cstring>

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

uint64_t weight_sample(const FfnWeights& weights, int64_t layer, int64_t expert) {
  WeightSample sample(layer, expert);
  const std::array matrices = {weights.w1,    weights.bias1, weights.w2,
                               weights.bias2, weights.w3,    weights.bias3};
  for (const ConstMatrixView& matrix : matrices) {
    if (matrix.rows > 0) sample.add(matrix);
  }
  return sample.value();
}

}  // namespace hashep
