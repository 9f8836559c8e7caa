// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/stack_placements.hpp"

#include "comm/plan/placement_file.hpp"
#include "hashep/error.hpp"
#include "runtime/tokens/routed_loads.hpp"

namespace hashep {

std::vector<Placement> make_placements(const PlacementSource& source, const Router& router,
                                       std::span<const RoutedLayer> layers,
                                       const TokenStream& stream, int64_t seq_len,
                                       const NodeMap& nodes) {
  const int64_t num_experts = layers.empty() ? 0 : layers.front().num_experts;
  std::vector<Placement> placements;
  switch (source.kind) {
    case PlacementKind::contiguous:
      placements.assign(layers.size(), contiguous_placement(num_experts, nodes.ep_size()));
      break;
    case PlacementKind::balanced:
      for (const auto& loads : routed_loads(router, layers, stream, seq_len, kCountedTokens)) {
        placements.push_back(balanced_placement(loads, nodes));
      }
      break;
    case PlacementKind::file:
      placements = load_placements(source.path, {.num_layers = std::ssize(layers),
                                                 .num_experts = num_experts,
                                                 .ep_size = nodes.ep_size()});
      break;
  }
  return placements;
}

}  // namespace hashep
