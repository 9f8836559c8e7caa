// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "hashep/routing_table.hpp"

namespace hashep {

/// `clustered` (Roller et al., arXiv 2106.04426, section 3.1): each id's experts are its nearest
/// clusters, so that similar ids share experts. nearest: [vocab_size, top_k], of num_experts
/// clusters (nearest_centroids). Loads are what the clusters make of them.
RoutingTable build_clustered_table(std::span<const int32_t> nearest, int64_t num_experts,
                                   int top_k);

/// `dispersed` (same section): the ids of each cluster are dealt evenly to all experts, so that
/// similar ids have different ones: cluster by cluster, ids in an order that follows from the seed,
/// to experts in an order of the cluster's own, top_k in a row each. cluster: [vocab_size], of any
/// number of clusters from 0 up. Deterministic.
RoutingTable build_dispersed_table(std::span<const int32_t> cluster, int64_t num_experts, int top_k,
                                   uint64_t seed);

}  // namespace hashep
