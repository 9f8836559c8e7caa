// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "hashep/exchange_plan.hpp"
#include "hashep/node_map.hpp"
#include "hashep/placement.hpp"

namespace hashep::bench {

/// Rows that one rank moves in the dispatch of a layer, by where they go. A row is an assignment's,
/// unless said otherwise. Combine moves them back.
struct RankFlows {
  int64_t tokens = 0;
  int64_t own = 0;       // to its own experts
  int64_t near_out = 0;  // to other ranks of its node
  int64_t near_in = 0;
  int64_t far_out = 0;  // to ranks of other nodes
  int64_t far_in = 0;
  int64_t far_out_once = 0;  // the same, a row for each (token, node)
  // Where a row goes to a node once: what this rank takes in for its node (NodeMap::peer_of), and
  // the assignments that it serves, of experts of its own and of other ranks of its node.
  int64_t taken_in = 0;
  int64_t forward_own = 0;
  int64_t forward_near = 0;
  int64_t forwarded_to = 0;  // rows that others of the node take in for this rank
  int64_t near_peers = 0;    // ranks that it sends rows to
  int64_t far_peers = 0;
  int64_t far_nodes = 0;

  int64_t sent() const { return own + near_out + far_out; }
  int64_t landing() const { return own + near_in + far_in; }
  bool operator==(const RankFlows&) const = default;
};

/// Of all ranks, in one layer of one batch.
struct JobFlows {
  std::vector<RankFlows> ranks;      // [ep_size]
  std::vector<int64_t> expert_rows;  // [num_experts]
  bool operator==(const JobFlows&) const = default;
};

/// Adds up flows, source by source, so that no count of other sources has to be held: O(ep_size +
/// num_experts) memory for jobs of any size.
class FlowCounter {
 public:
  /// Both must outlive the counter.
  FlowCounter(const Placement& placement, const NodeMap& nodes);

  /// counts: of this source's assignments, and where there are several nodes its rows for nodes, as
  /// route_batch leaves them. [num_experts + (num_nodes > 1 ? num_nodes : 0)]
  void add(int source, int64_t tokens, std::span<const CountWord> counts);
  /// Adds what another counter of the same job counted.
  void merge(const FlowCounter& other);
  const JobFlows& flows() const { return flows_; }

 private:
  RankFlows& rank(int32_t index) { return flows_.ranks[static_cast<size_t>(index)]; }

  const Placement& placement_;
  const NodeMap& nodes_;
  JobFlows flows_;
  std::vector<int64_t> rank_rows_;  // of the source at hand, to each rank
};

}  // namespace hashep::bench
