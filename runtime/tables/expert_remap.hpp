// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "hashep/routing_table.hpp"

namespace hashep {

/// The numbers that experts have after some were pruned or all were renumbered.
struct ExpertRemap {
  std::vector<int32_t> new_of;  // [old number of experts]; -1: pruned
  int64_t num_experts = 0;      // that are left; their numbers are 0 to num_experts - 1

  bool operator==(const ExpertRemap&) const = default;
};

/// Throws InputError naming `source` and the expert unless the numbers other than -1 are 0 to one
/// less than how many there are, each once.
ExpertRemap make_expert_remap(std::vector<int32_t> new_of, const std::string& source);

/// Reads `.json` (an array: element e is the new number of expert e) or text (the same numbers,
/// separated by white space).
ExpertRemap load_expert_remap(const std::string& path);

/// What becomes of a choice whose expert was pruned.
enum class PrunedChoice {
  refuse,        // InputError naming row and expert
  least_loaded,  // it goes to the remaining expert that has the least load and is not in its row
};

/// The table with new numbers, spread rows included. `least_loaded` takes ids by falling count
/// (ties: lower id first; rows of a spread id share its count) and among experts of equal load the
/// lowest; loads are those of all choices that keep their expert, and of those already filled.
/// counts: [vocab_size]. Throws InputError naming `source` where the table has an expert that the
/// remap does not know, or more choices than experts are left.
RoutingTable remap_table(const RoutingTable& table, const ExpertRemap& remap, PrunedChoice pruned,
                         std::span<const int64_t> counts, const std::string& source);

}  // namespace hashep
