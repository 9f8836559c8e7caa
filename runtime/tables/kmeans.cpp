// SPDX-License-Identifier: Apache-2.0
#include "runtime/tables/kmeans.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <span>
#include <string>

#include "core/random.hpp"
#include "hashep/error.hpp"
#include "hashep/split.hpp"
#include "kernels/parallel.hpp"
#include "runtime/tables/cluster_scores.hpp"

namespace hashep {
namespace {

constexpr uint64_t kSeedingTag = 0x6b6d65616e73u;  // "kmeans"
constexpr int64_t kTrainRowsPerCluster = 256;      // as faiss has it
constexpr int64_t kSeedRowsPerCluster = 32;
constexpr int64_t kUpdateColumns = 512;  // that one task sums: each reads its part of all rows

/// Calls body(first, count, scores) for blocks of rows[i], on several threads. A row's scores are
/// those of CentroidPanels.
template <typename Body>
void for_each_scored_block(const EmbeddingFile& file, std::span<const int64_t> rows,
                           const CentroidPanels& panels, int threads, Body body) {
  const int64_t count = std::ssize(rows);
  parallel_items((count + kScoreRows - 1) / kScoreRows, threads, [&](int, int64_t block) {
    const int64_t first = block * kScoreRows;
    const int64_t in_block = std::min(kScoreRows, count - first);
    std::vector<float> values(kScoreRows * file.dim());
    std::vector<float> scores(kScoreRows * panels.padded_centroids());
    for (int64_t i = 0; i < in_block; ++i) {
      const int64_t row = rows[first + i];
      file.read(row, 0, std::span(values).subspan(i * file.dim(), file.dim()));
    }
    panels.score_rows(values, scores);
    for (int64_t i = 0; i < in_block; ++i) {
      const auto at = static_cast<size_t>(i * panels.padded_centroids());
      const auto x = std::span(values).subspan(i * file.dim(), file.dim());
      body(first + i, std::span<const float>(x),
           std::span<const float>(scores).subspan(at, panels.padded_centroids()));
    }
  });
}

/// The sum of term(i) for i in [0, count), in lanes, which a compiler may keep in vectors.
template <typename Term>
float sum_in_lanes(size_t count, Term term) {
  constexpr size_t kLanes = 16;
  float lanes[kLanes] = {};
  size_t i = 0;
  for (; i + kLanes <= count; i += kLanes) {
    for (size_t lane = 0; lane < kLanes; ++lane) lanes[lane] += term(i + lane);
  }
  for (; i < count; ++i) lanes[i % kLanes] += term(i);
  return std::accumulate(lanes, lanes + kLanes, 0.0f);
}

/// |x|^2 of a row of the file. Throws InputError where it is not finite.
float checked_norm(const EmbeddingFile& file, int64_t row, std::span<const float> x) {
  const float norm = sum_in_lanes(x.size(), [&](size_t i) { return x[i] * x[i]; });
  if (std::isfinite(norm)) return norm;
  throw InputError(file.path() + ": the embedding of id " + std::to_string(row) +
                   " is not finite, or too large");
}

float squared_distance(std::span<const float> x, std::span<const float> y) {
  return sum_in_lanes(x.size(), [&](size_t i) {
    const float difference = x[i] - y[i];
    return difference * difference;
  });
}

/// `wanted` rows at most, evenly spread.
std::vector<int64_t> spread_rows(int64_t num_rows, int64_t wanted) {
  const int64_t count = std::min(num_rows, wanted);
  std::vector<int64_t> rows(count);
  for (int64_t i = 0; i < count; ++i) {
    rows[i] = split_range(num_rows, count, i).begin;
  }
  return rows;
}

/// k-means++: each next centroid is a row drawn with probability proportional to its squared
/// distance from the centroids so far.
std::vector<float> seed_centroids(const EmbeddingFile& file, const KMeansOptions& options) {
  const std::vector<int64_t> rows =
      spread_rows(file.rows(), options.num_clusters * kSeedRowsPerCluster);
  const auto dim = static_cast<size_t>(file.dim());
  std::vector<float> values(rows.size() * dim);
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto x = std::span(values).subspan(i * dim, dim);
    file.read(rows[i], 0, x);
    checked_norm(file, rows[i], x);
  }
  const uint64_t key = derive_key(options.seed, kSeedingTag);
  std::vector<double> distances(rows.size(), 1.0);  // the first is drawn evenly
  std::vector<float> centroids;
  for (int64_t cluster = 0; cluster < options.num_clusters; ++cluster) {
    const double sum = std::accumulate(distances.begin(), distances.end(), 0.0);
    const double drawn = sum * uniform_from_bits(random_bits(key, static_cast<uint64_t>(cluster)));
    size_t chosen = 0;
    for (double below = distances[0]; below <= drawn && chosen + 1 < rows.size();) {
      below += distances[++chosen];
    }
    const auto centroid = std::span(values).subspan(chosen * dim, dim);
    centroids.insert(centroids.end(), centroid.begin(), centroid.end());
    parallel_ranges(std::ssize(rows), options.threads, 1, [&](int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        const auto x = std::span(values).subspan(static_cast<size_t>(i) * dim, dim);
        const double distance = squared_distance(x, centroid);
        double& least = distances[i];
        least = cluster == 0 ? distance : std::min(least, distance);
      }
    });
  }
  return centroids;
}

/// Where the training rows belong.
struct Assignment {
  std::vector<int32_t> cluster;
  std::vector<float> distance;  // squared, from its centroid
};

Assignment assign_rows(const EmbeddingFile& file, std::span<const int64_t> rows,
                       const std::vector<float>& centroids, int threads) {
  Assignment result{std::vector<int32_t>(rows.size()), std::vector<float>(rows.size())};
  const CentroidPanels panels(centroids, file.dim());
  for_each_scored_block(file, rows, panels, threads, [&](int64_t i, auto x, auto scores) {
    const auto best = std::max_element(scores.begin(), scores.end());
    const float norm = checked_norm(file, rows[i], x);
    result.cluster[i] = static_cast<int32_t>(best - scores.begin());
    result.distance[i] = norm - 2.0f * *best;
  });
  return result;
}

/// Clusters without a row take the rows farthest from their centroids, one each.
void fill_empty_clusters(Assignment& assignment, int64_t num_clusters) {
  std::vector<int64_t> sizes(num_clusters);
  for (const int32_t cluster : assignment.cluster) ++sizes[cluster];
  if (std::find(sizes.begin(), sizes.end(), 0) == sizes.end()) return;
  std::vector<size_t> farthest(assignment.cluster.size());
  std::iota(farthest.begin(), farthest.end(), size_t{0});
  std::stable_sort(farthest.begin(), farthest.end(), [&](size_t a, size_t b) {
    return assignment.distance[a] > assignment.distance[b];
  });
  auto row = farthest.begin();
  for (int32_t cluster = 0; cluster < num_clusters; ++cluster) {
    if (sizes[cluster] > 0) continue;
    const auto alone = [&](size_t i) { return sizes[assignment.cluster[i]] == 1; };
    while (row != farthest.end() && alone(*row)) ++row;
    if (row == farthest.end()) return;  // fewer rows than clusters
    --sizes[assignment.cluster[*row]];
    assignment.cluster[*row++] = cluster;
    sizes[cluster] = 1;
  }
}

/// Moves each centroid to the mean of its rows. Tasks share out columns, so that each sum runs over
/// the rows in their order whatever the number of threads.
void move_centroids(const EmbeddingFile& file, std::span<const int64_t> rows,
                    const Assignment& assignment, int threads, std::vector<float>& centroids) {
  const int64_t dim = file.dim();
  const int64_t num_clusters = std::ssize(centroids) / dim;
  std::vector<int64_t> sizes(num_clusters);
  for (const int32_t cluster : assignment.cluster) ++sizes[cluster];
  parallel_items((dim + kUpdateColumns - 1) / kUpdateColumns, threads, [&](int, int64_t task) {
    const int64_t first = task * kUpdateColumns;
    const int64_t width = std::min(kUpdateColumns, dim - first);
    std::vector<double> sums(num_clusters * width);
    std::vector<float> x(width);
    for (size_t i = 0; i < rows.size(); ++i) {
      file.read(rows[i], first, x);
      double* sum = sums.data() + assignment.cluster[i] * width;
      for (int64_t d = 0; d < width; ++d) sum[d] += double{x[d]};
    }
    for (int64_t cluster = 0; cluster < num_clusters; ++cluster) {
      const int64_t size = sizes[cluster];
      for (int64_t d = 0; d < width && size > 0; ++d) {
        centroids[cluster * dim + first + d] =
            static_cast<float>(sums[cluster * width + d] / static_cast<double>(size));
      }
    }
  });
}

}  // namespace

std::vector<float> find_centroids(const EmbeddingFile& rows, const KMeansOptions& options,
                                  const KMeansProgress& progress) {
  const std::vector<int64_t> train =
      spread_rows(rows.rows(), options.num_clusters * kTrainRowsPerCluster);
  std::vector<float> centroids = seed_centroids(rows, options);
  std::vector<int32_t> before;
  for (int iteration = 0; iteration < options.max_iterations; ++iteration) {
    Assignment assignment = assign_rows(rows, train, centroids, options.threads);
    fill_empty_clusters(assignment, options.num_clusters);
    if (assignment.cluster == before) break;
    move_centroids(rows, train, assignment, options.threads, centroids);
    before = std::move(assignment.cluster);
    if (progress) progress(iteration + 1, options.max_iterations);
  }
  return centroids;
}

std::vector<int32_t> nearest_centroids(const EmbeddingFile& rows,
                                       const std::vector<float>& centroids, int k, int threads) {
  const CentroidPanels panels(centroids, rows.dim());
  std::vector<int64_t> all(rows.rows());
  std::iota(all.begin(), all.end(), int64_t{0});
  std::vector<int32_t> nearest(all.size() * static_cast<size_t>(k));
  for_each_scored_block(rows, all, panels, threads, [&](int64_t row, auto x, auto scores) {
    checked_norm(rows, row, x);
    std::vector<int32_t> order(scores.size());
    std::iota(order.begin(), order.end(), 0);
    std::partial_sort(order.begin(), order.begin() + k, order.end(), [&](int32_t a, int32_t b) {
      const float of_a = scores[a];
      const float of_b = scores[b];
      return of_a != of_b ? of_a > of_b : a < b;
    });
    std::copy_n(order.begin(), k, nearest.begin() + row * k);
  });
  return nearest;
}

}  // namespace hashep
