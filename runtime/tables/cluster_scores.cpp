// SPDX-License-Identifier: Apache-2.0
// HASHEP_EACH_VECTOR_WIDTH: see kernels/rows/row_sums_cpu.cpp.
#include "runtime/tables/cluster_scores.hpp"

#include <algorithm>
#include <cstring>
#include <limits>

namespace hashep {
namespace {

constexpr int64_t kTileRows = 4;  // with a panel's width, sums that fit the vector registers
constexpr int64_t kDepth = 256;   // of a panel's part that stays in the first-level cache

/// Half a panel's width of floats: a vector of AVX2. The sums of a tile stay in registers, which
/// they do not as arrays of floats, nor as wider vectors (GCC 12).
using Lanes [[gnu::vector_size(kPanelWidth / 2 * sizeof(float))]] = float;

/// scores[r][c] += sum over `depth` of rows[r][i] * panel[i][c], for kTileRows rows.
HASHEP_EACH_VECTOR_WIDTH
void add_products(const float* rows, int64_t row_stride, const float* panel, int64_t depth,
                  float* scores, int64_t score_stride) {
  Lanes sums[kTileRows][2] = {};
  for (int64_t i = 0; i < depth; ++i) {
    Lanes low;
    Lanes high;
    std::memcpy(&low, panel + i * kPanelWidth, sizeof(low));
    std::memcpy(&high, panel + i * kPanelWidth + kPanelWidth / 2, sizeof(high));
    for (int64_t r = 0; r < kTileRows; ++r) {
      const float x = rows[r * row_stride + i];
      sums[r][0] += x * low;
      sums[r][1] += x * high;
    }
  }
  for (int64_t r = 0; r < kTileRows; ++r) {
    for (int64_t half = 0; half < 2; ++half) {
      float* out = scores + r * score_stride + half * kPanelWidth / 2;
      Lanes before;
      std::memcpy(&before, out, sizeof(before));
      before += sums[r][half];
      std::memcpy(out, &before, sizeof(before));
    }
  }
}

}  // namespace

CentroidPanels::CentroidPanels(std::span<const float> centroids, int64_t dim)
    : dim_(dim),
      num_panels_((std::ssize(centroids) / dim + kPanelWidth - 1) / kPanelWidth),
      panels_(num_panels_ * dim * kPanelWidth),
      half_norms_(num_panels_ * kPanelWidth, std::numeric_limits<float>::infinity()) {
  const int64_t num_centroids = std::ssize(centroids) / dim;
  for (int64_t c = 0; c < num_centroids; ++c) {
    const float* centroid = centroids.data() + c * dim;
    float* column = panels_.data() + (c / kPanelWidth) * dim * kPanelWidth + c % kPanelWidth;
    float norm = 0.0f;
    for (int64_t i = 0; i < dim; ++i) {
      column[i * kPanelWidth] = centroid[i];
      norm += centroid[i] * centroid[i];
    }
    half_norms_[c] = norm / 2.0f;
  }
}

void CentroidPanels::score_rows(std::span<const float> rows, std::span<float> scores) const {
  const int64_t stride = padded_centroids();
  for (int64_t r = 0; r < kScoreRows; ++r) {
    std::transform(half_norms_.begin(), half_norms_.end(), scores.begin() + r * stride,
                   [](float half_norm) { return -half_norm; });
  }
  for (int64_t first = 0; first < dim_; first += kDepth) {
    const int64_t depth = std::min(kDepth, dim_ - first);
    for (int64_t p = 0; p < num_panels_; ++p) {
      const float* panel = panels_.data() + (p * dim_ + first) * kPanelWidth;
      for (int64_t r = 0; r < kScoreRows; r += kTileRows) {
        add_products(rows.data() + r * dim_ + first, dim_, panel, depth,
                     scores.data() + r * stride + p * kPanelWidth, stride);
      }
    }
  }
}

}  // namespace hashep
