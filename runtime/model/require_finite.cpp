// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/require_finite.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "core/quantised_matrix.hpp"
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

void require_finite(const QuantisedView& matrix, const std::string& where, DType dtype) {
  if (matrix.rows == 0) return;
  require_finite_scales(matrix, where);
  require_finite_codes(matrix, where);
  if (exact_dtype(matrix) == DType::bf16) return;  // no product is too large
  std::vector<float> row(static_cast<size_t>(matrix.cols));
  for (int64_t i = 0; i < matrix.rows; ++i) {
    auto* const values = reinterpret_cast<std::byte*>(row.data());
    dequantise(matrix, i, 1, DType::f32, values);
    require_finite({values, DType::f32, 1, matrix.cols}, where, dtype, i);
  }
}

void require_finite(const FfnWeights& weights, const std::string& where, DType dtype) {
  require_finite(weights.quantised.w1, where + " w1", dtype);
  require_finite(weights.quantised.w2, where + " w2", dtype);
  require_finite(weights.quantised.w3, where + " w3", dtype);
  require_finite(weights.w1, where + " w1", dtype);
  require_finite(weights.w2, where + " w2", dtype);
  require_finite(weights.w3, where + " w3", dtype);
  require_finite(weights.bias1, where + " w1.bias");
  require_finite(weights.bias2, where + " w2.bias");
  require_finite(weights.bias3, where + " w3.bias");
}

}  // namespace hashep
