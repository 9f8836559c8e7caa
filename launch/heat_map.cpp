// SPDX-License-Identifier: Apache-2.0
#include "launch/heat_map.hpp"

#include <algorithm>
#include <string_view>
#include <vector>

#include "core/format.hpp"
#include "core/units.hpp"
#include "hashep/split.hpp"

namespace hashep {
namespace {

constexpr int64_t kMaxNumbers = 8;  // columns of numbers in a terminal's line
constexpr int64_t kMaxCells = 64;
constexpr std::string_view kShades = " .:-=+*#%@";

std::string numbers(std::span<const int64_t> values, int64_t size) {
  std::string text;
  for (int64_t source = 0; source < size; ++source) {
    for (int64_t target = 0; target < size; ++target) {
      const int64_t bytes = values[source * size + target];
      text += format("%12s", source == target ? "" : format_bytes(bytes).c_str());
    }
    text += '\n';
  }
  return text;
}

}  // namespace

std::string heat_map(std::span<const int64_t> values, int64_t size) {
  if (size <= kMaxNumbers) return numbers(values, size);
  const int64_t cells = std::min(size, kMaxCells);
  std::vector<double> sums(cells * cells);
  for (int64_t row = 0; row < cells; ++row) {
    const Range sources = split_range(size, cells, row);
    for (int64_t col = 0; col < cells; ++col) {
      const Range targets = split_range(size, cells, col);
      double& sum = sums[row * cells + col];
      for (int64_t source = sources.begin; source < sources.end; ++source) {
        for (int64_t target = targets.begin; target < targets.end; ++target) {
          if (source == target) continue;
          sum += static_cast<double>(values[source * size + target]);
        }
      }
      // A mean, as cells may sum different numbers of pairs.
      sum /= static_cast<double>(sources.size() * targets.size());
    }
  }
  const double most = *std::max_element(sums.begin(), sums.end());
  const auto last = static_cast<double>(kShades.size() - 1);
  std::string text;
  for (int64_t row = 0; row < cells; ++row) {
    for (int64_t col = 0; col < cells; ++col) {
      const double share = most > 0 ? sums[row * cells + col] / most : 0.0;
      text += kShades[static_cast<size_t>(share * last + 0.5)];
    }
    text += '\n';
  }
  return text;
}

}  // namespace hashep
