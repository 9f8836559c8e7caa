// SPDX-License-Identifier: Apache-2.0
#include "hashep/node_map.hpp"

#include <algorithm>
#include <string>

#include "hashep/error.hpp"

namespace hashep {

NodeMap::NodeMap(std::span<const int32_t> labels) {
  if (labels.empty()) throw RunError("node map: no ranks");
  std::vector<int32_t> seen;  // label of each node
  for (size_t rank = 0; rank < labels.size(); ++rank) {
    const auto found = std::find(seen.begin(), seen.end(), labels[rank]);
    const auto node = static_cast<size_t>(found - seen.begin());
    if (found == seen.end()) {
      seen.push_back(labels[rank]);
      ranks_.emplace_back();
    }
    node_of_.push_back(static_cast<int32_t>(node));
    local_index_.push_back(static_cast<int32_t>(ranks_[node].size()));
    ranks_[node].push_back(static_cast<int32_t>(rank));
  }
}

int32_t NodeMap::peer_of(int rank, int node) const {
  const auto ranks = ranks_of(node);
  return ranks[static_cast<size_t>(local_index(rank)) % ranks.size()];
}

std::ostream& operator<<(std::ostream& out, const NodeMap& nodes) {
  out << nodes.num_nodes() << (nodes.num_nodes() == 1 ? " node of " : " nodes of ");
  for (int node = 0; node < nodes.num_nodes(); ++node) {
    out << (node == 0 ? "" : ", ") << nodes.ranks_of(node).size();
  }
  return out << (nodes.ep_size() == 1 ? " rank" : " ranks");
}

NodeMap one_node(int ep_size) {
  return NodeMap(std::vector<int32_t>(ep_size, 0));
}

NodeMap nodes_of_equal_size(int ep_size, int64_t ranks_per_node) {
  if (ranks_per_node < 1) {
    throw InputError("nodes of " + std::to_string(ranks_per_node) + " ranks: expected at least 1");
  }
  std::vector<int32_t> labels;
  for (int rank = 0; rank < ep_size; ++rank) {
    labels.push_back(static_cast<int32_t>(rank / ranks_per_node));
  }
  return NodeMap(labels);
}

}  // namespace hashep
