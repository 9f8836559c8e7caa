// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <ostream>
#include <span>
#include <vector>

namespace hashep {

/// Which rank runs on which node: ranks of one node share memory. Nodes are numbered by their
/// lowest rank; they may hold uneven numbers of ranks, in any order.
class NodeMap {
 public:
  /// labels[r] is equal for ranks of one node and differs between nodes. [ep_size], not empty.
  explicit NodeMap(std::span<const int32_t> labels);

  /// Ranks of the job.
  int ep_size() const { return static_cast<int>(node_of_.size()); }
  /// Nodes.
  int num_nodes() const { return static_cast<int>(ranks_.size()); }
  /// The node of a rank: [0, num_nodes).
  int32_t node_of(int rank) const { return node_of_[rank]; }
  /// Ranks of a node, ascending.
  std::span<const int32_t> ranks_of(int node) const { return ranks_[node]; }
  /// The place of a rank among the ranks of its node.
  int32_t local_index(int rank) const { return local_index_[rank]; }
  /// The rank of `node` that `rank` talks to: the one of equal local index, taken around where that
  /// node has fewer ranks.
  int32_t peer_of(int rank, int node) const;

  bool operator==(const NodeMap&) const = default;

 private:
  std::vector<int32_t> node_of_;
  std::vector<int32_t> local_index_;
  std::vector<std::vector<int32_t>> ranks_;
};

/// "3 nodes of 4, 4, 2 ranks".
std::ostream& operator<<(std::ostream& out, const NodeMap& nodes);

/// All ranks on one node.
NodeMap one_node(int ep_size);

/// Nodes of `ranks_per_node` consecutive ranks, the last one having what is left. Throws InputError
/// unless ranks_per_node is at least 1.
NodeMap nodes_of_equal_size(int ep_size, int64_t ranks_per_node);

}  // namespace hashep
