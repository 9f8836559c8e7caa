// SPDX-License-Identifier: Apache-2.0
#include "hashep/stack_geometry.hpp"

#include <string>
#include <utility>

#include "hashep/error.hpp"
#include "runtime/routing/route_checks.hpp"

namespace hashep {

StackGeometry::StackGeometry(std::vector<Placement> placements, int top_k,
                             std::optional<NodeMap> nodes, bool node_reduce, int64_t gated)
    : placements_(std::move(placements)),
      top_k_(top_k),
      nodes_(std::move(nodes)),
      node_reduce_(node_reduce),
      gated_(gated) {
  if (placements_.empty()) throw InputError("a stack without a layer");
  if (gated < 0 || gated > num_layers()) {
    throw InputError(std::to_string(gated) + " layers with a gate of " +
                     std::to_string(num_layers()));
  }
  for (const Placement& placement : placements_) {
    if (placement.num_experts() == num_experts() && placement.ep_size() == ep_size()) continue;
    throw InputError("a layer of " + std::to_string(placement.num_experts()) + " experts on " +
                     std::to_string(placement.ep_size()) + " ranks beside one of " +
                     std::to_string(num_experts()) + " on " + std::to_string(ep_size()));
  }
  if (num_experts() > 0 || top_k != 0) require_router_sizes(1, num_experts(), top_k, "stack");
  if (nodes_ && nodes_->ep_size() != ep_size()) {
    throw InputError("experts on " + std::to_string(ep_size()) + " ranks, nodes of " +
                     std::to_string(nodes_->ep_size()));
  }
  expert_nodes_.resize(placements_.size());
  if (counted_nodes() == 0) return;
  for (size_t layer = 0; layer < placements_.size(); ++layer) {
    for (const int32_t owner : placements_[layer].ranks()) {
      expert_nodes_[layer].push_back(nodes_->node_of(owner));
    }
  }
}

}  // namespace hashep
