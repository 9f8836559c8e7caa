// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <ostream>
#include <span>
#include <vector>

#include "hashep/node_map.hpp"
#include "hashep/split.hpp"

namespace hashep {

/// Which rank owns which expert of one layer. A rank holds its experts in ascending order.
class Placement {
 public:
  /// rank_of[e] is the owner of expert e. Throws InputError where a rank is not in [0, ep_size).
  Placement(std::vector<int32_t> rank_of, int ep_size);

  /// Experts of the layer, on all ranks.
  int64_t num_experts() const { return static_cast<int64_t>(rank_of_.size()); }
  /// Ranks of the job.
  int ep_size() const { return static_cast<int>(first_.size()) - 1; }
  /// The owner of an expert: [0, ep_size).
  int32_t rank_of(int64_t expert) const { return rank_of_[expert]; }
  /// The owners of all experts. [num_experts]
  std::span<const int32_t> ranks() const { return rank_of_; }

  /// All experts in the order (owner, expert). [num_experts]
  std::span<const int32_t> by_rank() const { return by_rank_; }
  /// Where rank `rank` stands in by_rank().
  Range range_of(int rank) const { return {first_[rank], first_[rank + 1]}; }
  /// The experts of a rank, ascending. [num_local_experts]
  std::span<const int32_t> local_experts(int rank) const;

  bool operator==(const Placement&) const = default;

 private:
  std::vector<int32_t> rank_of_;
  std::vector<int32_t> by_rank_;
  std::vector<int64_t> first_;  ///< [ep_size + 1]
};

std::ostream& operator<<(std::ostream& out, const Placement& placement);

/// Rank r owns experts [floor(r*E/R), floor((r+1)*E/R)).
Placement contiguous_placement(int64_t num_experts, int ep_size);

/// Evens the ranks' load while their numbers of experts differ by at most one, so that memory stays
/// even too: experts by falling load, each to the least-loaded rank with room (longest processing
/// time first, Graham 1969; ties: lower expert first, lower rank first), then swaps of two experts
/// between the fullest rank and another for as long as they lower the larger of both loads, 1,000
/// of them at most. loads: [num_experts].
Placement balanced_placement(std::span<const int64_t> loads, int ep_size);

/// The same where ranks run on several nodes: what each node receives is evened too, by seating the
/// groups of experts found for ranks on nodes in the same way. Ranks' loads are as above.
Placement balanced_placement(std::span<const int64_t> loads, const NodeMap& nodes);

}  // namespace hashep
