// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace hashep {

/// Rows that are scored together, and the centroids of a panel.
inline constexpr int64_t kScoreRows = 64;
inline constexpr int64_t kPanelWidth = 16;

/// Centroids laid out for score_rows.
class CentroidPanels {
 public:
  /// centroids: [num_centroids, dim]
  CentroidPanels(std::span<const float> centroids, int64_t dim);

  int64_t dim() const { return dim_; }
  int64_t num_panels() const { return num_panels_; }
  /// What a row of scores has; those behind the last centroid are -infinity.
  int64_t padded_centroids() const { return num_panels_ * kPanelWidth; }

  /// scores[i][c] = x_i . c - |c|^2 / 2: the nearest centroid has the highest, and |x - c|^2 is
  /// |x|^2 - 2 * score. In fp32, in the same order for all rows and on all machines.
  /// rows: [kScoreRows, dim]. scores: [kScoreRows, padded_centroids()].
  void score_rows(std::span<const float> rows, std::span<float> scores) const;

 private:
  int64_t dim_;
  int64_t num_panels_;
  std::vector<float> panels_;      // [num_panels, dim, kPanelWidth]
  std::vector<float> half_norms_;  // [padded_centroids], infinity behind the last centroid
};

}  // namespace hashep
