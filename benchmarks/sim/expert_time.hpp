// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace hashep::bench {

/// How fast a GEMM is by its number of rows: the modelled time of what a simulation does not
/// compute. Between points the rate is linear; beyond the last it stays, and below the first one
/// all GEMMs take as long as that one, whose time is that of reading the weights.
class GemmRates {
 public:
  GemmRates() = default;
  /// points: "ROWS:FLOPS_PER_S", ascending in rows. Throws InputError.
  explicit GemmRates(std::span<const std::string> points);

  /// Seconds of a GEMM with `rows` rows and `flops_per_row`; 0 without rows.
  double seconds(int64_t rows, double flops_per_row) const;

 private:
  std::vector<std::pair<double, double>> points_;  // rows, flops per second
};

/// Seconds of a rank's SwiGLU experts (three GEMMs of hidden_size x ffn_size each), expert after
/// expert. expert_rows: rows of each.
double experts_seconds(const GemmRates& rates, std::span<const int64_t> expert_rows,
                       int64_t hidden_size, int64_t ffn_size);

}  // namespace hashep::bench
