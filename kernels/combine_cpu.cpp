// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include "kernels/combine.hpp"
#include "kernels/require.hpp"
#include "kernels/threads.hpp"

namespace hashep {
namespace {

constexpr int64_t kTokensPerThread = 64;  // fewer are summed sooner than a thread wakes up
constexpr int64_t kColumns = 512;         // fp32 sums of one pass: 2 KiB, well inside L1

using Sums = std::array<float, kColumns>;

template <typename T>
void add_scaled(const T* values, float weight, int64_t count, Sums& sums) {
  for (int64_t i = 0; i < count; ++i) {
    sums[static_cast<size_t>(i)] += weight * static_cast<float>(values[i]);
  }
}

/// Columns [column, column + count) of one token.
template <typename T>
void combine_columns(const CombineInput& input, int64_t token, int64_t column, int64_t count,
                     T* out) {
  Sums sums;
  std::fill_n(sums.begin(), count, 0.0f);
  const int64_t first = token * input.top_k;
  const float equal_weight = 1.0f / static_cast<float>(input.top_k);
  for (int64_t choice = 0; choice < input.top_k; ++choice) {
    const auto assignment = static_cast<size_t>(first + choice);
    const float weight = input.weights.empty() ? equal_weight : input.weights[assignment];
    const T* row = input.rows.row_as<T>(input.row_of[assignment]);
    add_scaled(row + column, weight, count, sums);
  }
  if (input.shared.rows > 0) {
    add_scaled(input.shared.row_as<T>(token) + column, 1.0f, count, sums);
  }
  for (int64_t i = 0; i < count; ++i)
    out[column + i] = static_cast<T>(sums[static_cast<size_t>(i)]);
}

template <typename T>
void combine_token(const CombineInput& input, int64_t token, MatrixView y) {
  T* out = y.row_as<T>(token);
  if (input.row_of[static_cast<size_t>(token * input.top_k)] < 0) {
    std::fill_n(out, y.cols, T{});
    return;
  }
  for (int64_t column = 0; column < y.cols; column += kColumns) {
    combine_columns(input, token, column, std::min(kColumns, y.cols - column), out);
  }
}

}  // namespace

void combine_rows(const CombineInput& input, MatrixView y, int threads) {
  require(std::ssize(input.row_of) == y.rows * input.top_k,
          "combine_rows: row_of is not [tokens * top_k]");
  require(input.weights.empty() || input.weights.size() == input.row_of.size(),
          "combine_rows: weights are not [tokens * top_k]");
  require(input.rows.rows == 0 || (input.rows.dtype == y.dtype && input.rows.cols == y.cols),
          "combine_rows: rows and y differ in cols or dtype");
  require(input.shared.rows == 0 || (input.shared.rows == y.rows && input.shared.cols == y.cols &&
                                     input.shared.dtype == y.dtype),
          "combine_rows: shared and y differ in shape or dtype");
  with_activation_type(y.dtype, [&](auto zero) {
    using T = decltype(zero);
    parallel_ranges(y.rows, threads, kTokensPerThread, [&](int64_t begin, int64_t end) {
      for (int64_t token = begin; token < end; ++token) combine_token<T>(input, token, y);
    });
  });
}

void add_rows(ConstMatrixView y, MatrixView x, int threads) {
  require(x.rows == y.rows && x.cols == y.cols && x.dtype == y.dtype,
          "add_rows: x and y differ in shape or dtype");
  with_activation_type(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    parallel_ranges(x.rows, threads, kTokensPerThread, [&](int64_t begin, int64_t end) {
      const T* from = y.row_as<T>(begin);
      T* to = x.row_as<T>(begin);
      const int64_t count = (end - begin) * x.cols;
      for (int64_t i = 0; i < count; ++i) {
        to[i] = static_cast<T>(static_cast<float>(to[i]) + static_cast<float>(from[i]));
      }
    });
  });
}

}  // namespace hashep
