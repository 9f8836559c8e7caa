// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "runtime/tables/embeddings.hpp"

namespace hashep {

struct KMeansOptions {
  int64_t num_clusters = 1;
  uint64_t seed = 0;
  int threads = 1;
  int max_iterations = 20;  // of Lloyd's algorithm
};

/// Told when one of `of` iterations is done.
using KMeansProgress = std::function<void(int64_t iteration, int64_t of)>;

/// k-means (Lloyd 1982, seeded as k-means++: Arthur and Vassilvitskii 2007) over the rows of an
/// embedding file; iterates until no row moves, max_iterations at most. Centroids are found from up
/// to 256 rows for each cluster, evenly spread over the file. The same for any number of threads.
/// A cluster that loses its rows takes the row that is farthest from its own centroid. Returns
/// centroids [num_clusters, dim]. Throws InputError, naming the row, on a number that is not
/// finite.
std::vector<float> find_centroids(const EmbeddingFile& rows, const KMeansOptions& options,
                                  const KMeansProgress& progress = {});

/// The k nearest centroids of each row, nearest first, ties to the lower one. 1 <= k <= number of
/// centroids. Returns [rows, k].
std::vector<int32_t> nearest_centroids(const EmbeddingFile& rows,
                                       const std::vector<float>& centroids, int k, int threads);

}  // namespace hashep
