// SPDX-License-Identifier: Apache-2.0
#include "launch/table_placements.hpp"

#include "comm/plan/placement_file.hpp"
#include "hashep/error.hpp"
#include "launch/process/source_words.hpp"

namespace hashep {

std::vector<Placement> table_placements(const std::string& word, int64_t num_layers,
                                        int64_t num_experts, int ranks) {
  const PlacementSource source = parse_placement(word);
  if (source.kind == PlacementKind::balanced) {
    throw InputError("--placement balanced: contiguous or a placement file (*.json) is known here");
  }
  if (source.kind == PlacementKind::file) {
    return load_placements(
        source.path, {.num_layers = num_layers, .num_experts = num_experts, .ep_size = ranks});
  }
  return {static_cast<size_t>(num_layers), contiguous_placement(num_experts, ranks)};
}

}  // namespace hashep
