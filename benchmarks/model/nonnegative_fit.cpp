// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/model/nonnegative_fit.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

namespace hashep::bench {
namespace {

constexpr int kMostSweeps = 200000;
constexpr double kStill = 1e-12;  // relative change of a coefficient

}  // namespace

std::vector<double> fit_nonnegative(const std::vector<std::vector<double>>& rows,
                                    const std::vector<double>& targets) {
  const size_t columns = rows.front().size();
  // Columns are brought to length 1, so that "nothing moves" means the same for each.
  std::vector<double> lengths(columns);
  for (const auto& row : rows) {
    for (size_t j = 0; j < columns; ++j) lengths[j] += row[j] * row[j];
  }
  for (double& length : lengths) length = std::sqrt(length);
  std::vector<double> gram(columns * columns);
  std::vector<double> target(columns);
  for (size_t r = 0; r < rows.size(); ++r) {
    const std::vector<double>& row = rows[r];
    for (size_t i = 0; i < columns; ++i) {
      if (lengths[i] == 0.0) continue;
      target[i] += row[i] / lengths[i] * targets[r];
      for (size_t j = 0; j < columns; ++j) {
        if (lengths[j] != 0.0) gram[i * columns + j] += row[i] * row[j] / (lengths[i] * lengths[j]);
      }
    }
  }
  std::vector<double> scaled(columns);
  for (int sweep = 0; sweep < kMostSweeps; ++sweep) {
    double moved = 0.0;
    double largest = 0.0;
    for (size_t i = 0; i < columns; ++i) {
      if (lengths[i] == 0.0) continue;
      double gradient = -target[i];
      for (size_t j = 0; j < columns; ++j) gradient += gram[i * columns + j] * scaled[j];
      const double next = std::max(0.0, scaled[i] - gradient / gram[i * columns + i]);
      moved = std::max(moved, std::abs(next - scaled[i]));
      largest = std::max(largest, next);
      scaled[i] = next;
    }
    if (moved <= kStill * largest) break;
  }
  for (size_t i = 0; i < columns; ++i) {
    if (lengths[i] != 0.0) scaled[i] /= lengths[i];
  }
  return scaled;
}

}  // namespace hashep::bench
