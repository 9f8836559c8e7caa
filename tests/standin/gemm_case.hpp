// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "hashep/dtype.hpp"

namespace hashep::test {

inline float to_float(float value) {
  return value;
}
inline float to_float(BFloat16 value) {
  return static_cast<float>(value);
}

template <typename T>
std::vector<T> draw(std::mt19937& random, int64_t count) {
  std::normal_distribution<float> normal;
  std::vector<T> values;
  for (int64_t i = 0; i < count; ++i) values.push_back(T(normal(random)));
  return values;
}

/// A product m x n x k of column-major matrices whose columns stand a little apart.
struct Shape {
  bool transpose_a = false;
  bool transpose_b = false;
  int m = 5, n = 3, k = 7;

  int rows_a() const { return transpose_a ? k : m; }
  int cols_a() const { return transpose_a ? m : k; }
  int rows_b() const { return transpose_b ? n : k; }
  int cols_b() const { return transpose_b ? k : n; }
  int lda() const { return rows_a() + 1; }
  int ldb() const { return rows_b() + 2; }
  int ldc() const { return m + 3; }
};

/// The largest difference of d from 2 op(a) op(b) + c / 2, over |2 op(a) op(b)| + |c / 2|, and
/// infinite where something between the columns of d was written.
template <typename In, typename Out>
double error_of(const Shape& shape, std::span<const In> a, std::span<const In> b,
                const std::vector<Out>& c, std::span<const Out> d) {
  double worst = 0.0;
  for (int col = 0; col < shape.n; ++col) {
    for (int row = 0; row < shape.ldc(); ++row) {
      const auto at = static_cast<size_t>(row + col * shape.ldc());
      if (row >= shape.m) {
        if (col + 1 < shape.n && to_float(d[at]) != to_float(c[at])) return INFINITY;
        continue;
      }
      double sum = 0.5 * static_cast<double>(to_float(c[at]));
      double size = std::abs(sum);
      for (int i = 0; i < shape.k; ++i) {
        const int at_a = shape.transpose_a ? i + row * shape.lda() : row + i * shape.lda();
        const int at_b = shape.transpose_b ? col + i * shape.ldb() : i + col * shape.ldb();
        const double product =
            2.0 * static_cast<double>(to_float(a[at_a])) * static_cast<double>(to_float(b[at_b]));
        sum += product;
        size += std::abs(product);
      }
      const double difference = std::abs(static_cast<double>(to_float(d[at])) - sum) / size;
      if (!(difference <= worst)) worst = difference;
    }
  }
  return worst;
}

}  // namespace hashep::test
