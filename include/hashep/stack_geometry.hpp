// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "hashep/node_map.hpp"
#include "hashep/placement.hpp"
#include "hashep/router.hpp"

namespace hashep {

/// Where the experts of a stack of layers stand, and how results come back: all that a plan follows
/// from but the assignments, wherever these come from (a router ahead of time, a gate in the
/// layer). A value; the same on all ranks.
class StackGeometry {
 public:
  /// `placements`: one a layer, of equal num_experts and ep_size. `nodes`: where ranks run; left
  /// out where all rows travel alike (one node, or a transport that knows no nodes). `node_reduce`:
  /// a node's contributions to a token return as one sum. `gated`: the last so many layers are
  /// planned when they are reached. Throws InputError where sizes disagree or top_k is not in [1,
  /// num_experts] (0 where there are no experts).
  StackGeometry(std::vector<Placement> placements, int top_k,
                std::optional<NodeMap> nodes = std::nullopt, bool node_reduce = false,
                int64_t gated = 0);

  /// Layers of the stack.
  int64_t num_layers() const { return static_cast<int64_t>(placements_.size()); }
  /// Layers that are planned ahead: the first ones.
  int64_t num_layers_ahead() const { return num_layers() - gated_; }
  /// Experts of a layer, on all ranks.
  int64_t num_experts() const { return placements_.front().num_experts(); }
  /// Experts of a token.
  int top_k() const { return top_k_; }
  /// Ranks.
  int ep_size() const { return placements_.front().ep_size(); }
  /// Of all layers. [num_layers]
  std::span<const Placement> placements() const { return placements_; }
  /// Of one layer.
  const Placement& placement(int64_t layer) const { return placements_[layer]; }
  /// Where ranks run; nothing where all rows travel alike.
  const std::optional<NodeMap>& nodes() const { return nodes_; }
  /// Whether a node's contributions to a token return as one sum.
  bool node_reduce() const { return node_reduce_; }
  /// A layer as routers know it.
  RoutedLayer layer(int64_t layer) const { return {layer, num_experts(), top_k_}; }

  /// The node of each expert of a layer, where there are several nodes. [num_experts]
  std::span<const int32_t> expert_nodes(int64_t layer) const { return expert_nodes_[layer]; }

  /// Nodes that a rank counts rows for; none where all ranks share one.
  int64_t counted_nodes() const {
    return nodes_ && nodes_->num_nodes() > 1 ? nodes_->num_nodes() : 0;
  }
  /// Integers a rank's counts for one layer take: for each expert, then for each node.
  int64_t layer_words() const { return num_experts() + counted_nodes(); }
  /// Integers a rank contributes to a batch's plans: its tokens, then its counts for each layer
  /// that is planned ahead.
  int64_t batch_words() const { return 1 + num_layers_ahead() * layer_words(); }
  /// Where the counts of a layer begin among them.
  int64_t layer_begin(int64_t layer) const { return 1 + layer * layer_words(); }

 private:
  std::vector<Placement> placements_;
  int top_k_;
  std::optional<NodeMap> nodes_;
  bool node_reduce_;
  int64_t gated_;
  std::vector<std::vector<int32_t>> expert_nodes_;  ///< by layer; empty where no nodes are counted
};

}  // namespace hashep
