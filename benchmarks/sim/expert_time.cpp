// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/sim/expert_time.hpp"

#include <algorithm>
#include <cmath>
#include <exception>

#include "core/quote.hpp"
#include "hashep/error.hpp"

namespace hashep::bench {
namespace {

/// A positive number that is all of `text`.
double positive(const std::string& text, const std::string& point) {
  double value = 0.0;
  size_t used = 0;
  try {
    value = std::stod(text, &used);
  } catch (const std::exception&) {
    used = 0;
  }
  if (used == 0 || used != text.size() || !std::isfinite(value) || value <= 0.0) {
    throw InputError("--gemm: " + quote(point) + " is not ROWS:FLOPS_PER_S");
  }
  return value;
}

}  // namespace

GemmRates::GemmRates(std::span<const std::string> points) {
  for (const std::string& point : points) {
    const size_t colon = point.find(':');
    const double rows = positive(point.substr(0, colon), point);
    const double rate = positive(colon == std::string::npos ? "" : point.substr(colon + 1), point);
    if (!points_.empty() && rows <= points_.back().first) {
      throw InputError("--gemm: rows do not ascend at " + quote(point));
    }
    points_.emplace_back(rows, rate);
  }
  if (points_.empty()) throw InputError("--gemm: no point was given");
}

double GemmRates::seconds(int64_t rows, double flops_per_row) const {
  if (rows == 0) return 0.0;
  const auto wanted = std::max(static_cast<double>(rows), points_.front().first);
  double rate = points_.back().second;
  for (size_t i = 1; i < points_.size(); ++i) {
    const auto& [low_rows, low_rate] = points_[i - 1];
    const auto& [high_rows, high_rate] = points_[i];
    if (wanted >= high_rows) continue;
    rate = low_rate + (high_rate - low_rate) * (wanted - low_rows) / (high_rows - low_rows);
    break;
  }
  return wanted * flops_per_row / rate;
}

double experts_seconds(const GemmRates& rates, std::span<const int64_t> expert_rows,
                       int64_t hidden_size, int64_t ffn_size) {
  const double flops_per_row =
      3.0 * 2.0 * static_cast<double>(hidden_size) * static_cast<double>(ffn_size);
  double seconds = 0.0;
  for (const int64_t rows : expert_rows) seconds += rates.seconds(rows, flops_per_row);
  return seconds;
}

}  // namespace hashep::bench
