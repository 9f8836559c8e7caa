// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "hashep/placement.hpp"

namespace hashep {

/// The placements of all layers of a stack with what they were made from, as a file keeps them.
struct PlacementRecord {
  std::string method;          // "contiguous" or "balanced"
  std::string router;          // by name, as on the command line
  std::string corpus;          // the files that were counted, as given
  uint64_t corpus_digest = 0;  // TokenCounts::digest
  int64_t corpus_tokens = 0;
  int64_t ranks_per_node = 0;
  std::vector<Placement> layers;
  std::vector<std::vector<int64_t>> expert_counts;  // by layer, [num_experts]
};

/// The text of a placement file: JSON that lists each rank's experts for each layer, with load
/// factors, the counts, and the program's version and commit. README, "Placement", tells its keys.
std::string placement_text(const PlacementRecord& record);

/// What a job needs of a placement file.
struct PlacementShape {
  int64_t num_layers = 0;
  int64_t num_experts = 0;
  int ep_size = 1;
};

/// Reads the placements of all layers. Throws InputError, naming the file, where it is not a
/// placement file, is for other numbers of ranks, layers or experts, or does not place each expert
/// once.
std::vector<Placement> load_placements(const std::string& path, const PlacementShape& shape);

}  // namespace hashep
