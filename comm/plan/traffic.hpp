// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "hashep/exchange_plan.hpp"

namespace hashep {

/// Rows that one rank has buffers for in a layer, by purpose.
struct BufferRows {
  int64_t landing = 0;     // received by its experts
  int64_t sent = 0;        // by its tokens, its own rank's experts among them
  int64_t out = 0;         // to other nodes, once a node
  int64_t out_routes = 0;  // assignments to experts of other nodes
  int64_t in = 0;          // taken in from other nodes' ranks for its node
  int64_t in_routes = 0;

  bool operator==(const BufferRows&) const = default;
};

/// Keeps the larger of each.
void keep_largest(const BufferRows& rows, BufferRows& largest);

/// How rows move, as far as buffers depend on it.
enum class RowBuffers {
  shared_memory,  // transports shm (one node) and hier
  messages,       // transport mpi
};

/// Bytes of row buffers that a rank on a CPU holds for layers that need `rows` at most; what its
/// transport's buffer_bytes says. `reduces`: see NodePlan.
int64_t row_buffer_bytes(const BufferRows& rows, RowBuffers exchange, bool reduces,
                         int64_t row_bytes);

/// What the dispatch of one layer of one batch moves, over all ranks, in rows. Combine moves
/// rows_intra and rows_inter back (rows_inter_dedup where results return summed).
struct LayerTraffic {
  std::vector<int64_t> expert_rows;  // received. [num_experts]
  std::vector<int64_t> rank_rows;    // received, from itself too. [ep_size]
  int64_t rows_intra = 0;            // to other ranks of the source's node
  int64_t rows_inter = 0;            // to ranks of other nodes, a row for each assignment
  int64_t rows_inter_dedup = 0;      // to other nodes, a row for each (token, node)
  std::vector<BufferRows> buffers;   // [ep_size]

  bool operator==(const LayerTraffic&) const = default;
};

/// A pure function of all ranks' counts (as for complete_node_plan; on one node without counts for
/// nodes), the placement and the nodes. O(ep_size * (num_experts + num_nodes)) time.
LayerTraffic layer_traffic(const CountMatrix& counts, const Placement& placement,
                           const NodeMap& nodes);

/// Who sends how much to whom.
enum class TrafficUnit { rank, node };

/// Rows of dispatch from each rank (or node) to each, those that stay among them.
struct TrafficMatrix {
  int64_t size = 0;
  std::vector<int64_t> rows;        // [source, target]
  std::vector<int64_t> rows_dedup;  // nodes only, a row for each (token, other node). [source,
                                    // target]

  bool operator==(const TrafficMatrix&) const = default;
};

TrafficMatrix empty_traffic(const NodeMap& nodes, TrafficUnit unit);

/// Adds a layer's rows. The arguments as for layer_traffic.
void add_traffic(const CountMatrix& counts, const Placement& placement, const NodeMap& nodes,
                 TrafficUnit unit, TrafficMatrix& matrix);

}  // namespace hashep
