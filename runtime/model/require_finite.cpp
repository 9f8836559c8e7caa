// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/require_finite.hpp"

#include <algorithm>
#include <array>
#include <cmath>

#include "hashep/error.hpp"

namespace hashep {

void require_finite(ConstMatrixView matrix, const std::string& where, DType dtype,
                    int64_t first_row) {
  const auto is_finite = [dtype](float value) {
    return std::isfinite(dtype == DType::bf16 ? static_cast<float>(BFloat16(value)) : value);
  };
  constexpr int64_t kChunk = 4096;  // elements: a buffer that stays in L1
  std::array<float, kChunk> values;
  const int64_t count = matrix.rows * matrix.cols;
  for (int64_t first = 0; first < count; first += kChunk) {
    const int64_t size = std::min(kChunk, count - first);
    convert_to_float(matrix.dtype, matrix.data + first * dtype_size(matrix.dtype), size,
                     values.data());
    const float* const begin = values.data();
    const float* const end = begin + size;
    const float* bad = std::find_if_not(begin, end, is_finite);
    if (bad == end) continue;
    const int64_t index = first + (bad - begin);
    throw InputError(where + ": " + std::to_string(*bad) + " at [" +
                     std::to_string(first_row + index / matrix.cols) + ", " +
                     std::to_string(index % matrix.cols) + "]" +
                     (std::isfinite(*bad) ? ", which bf16 cannot hold" : ""));
  }
}

void require_finite(const FfnWeights& weights, const std::string& where, DType dtype) {
  require_finite(weights.w1, where + " w1", dtype);
  require_finite(weights.w2, where + " w2", dtype);
  require_finite(weights.w3, where + " w3", dtype);
  require_finite(weights.bias1, where + " w1.bias");
  require_finite(weights.bias2, where + " w2.bias");
  require_finite(weights.bias3, where + " w3.bias");
}

}  // namespace hashep
