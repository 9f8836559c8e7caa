// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <ostream>
#include <span>
#include <string_view>
#include <vector>

#include "hashep/node_map.hpp"
#include "hashep/node_plan.hpp"
#include "hashep/placement.hpp"
#include "hashep/row_block.hpp"

namespace hashep {

/// All that moves in one layer of one batch, as one rank sees it: a plain value that knows tokens
/// and rows, but no bytes, no communicator and no device. Dispatch walks it forwards, combine
/// backwards.
///
/// Two orders of rows:
/// - rank-major, at the source: (owner rank, expert, token). What messages are made of.
/// - expert-major, at the owner: (expert, global token index), the canonical order. As ranks hold
///   consecutive tokens, that is (expert, source rank, token).
struct ExchangePlan {
  int ep_rank = 0;          ///< whose plan it is
  int ep_size = 1;          ///< ranks
  int top_k = 1;            ///< experts of a token
  int64_t num_experts = 0;  ///< of all ranks
  int64_t tokens = 0;       ///< on this rank

  // At the source, per assignment. [tokens, top_k]
  std::vector<int32_t> experts;    ///< [tokens, top_k]; -1: padding token
  std::vector<int64_t> send_rows;  ///< [tokens, top_k]: row in rank-major order; -1: padding token

  // Rows to and from each rank.
  std::vector<int64_t> send_counts;  ///< rows to each rank. [ep_size]
  std::vector<int64_t> send_displs;  ///< sums of those before, and of all. [ep_size + 1]
  std::vector<int64_t> recv_counts;  ///< rows from each rank. [ep_size]
  std::vector<int64_t> recv_displs;  ///< sums of those before, and of all. [ep_size + 1]

  // Known alike to all ranks.
  std::vector<int32_t> expert_ranks;  ///< who owns each expert. [num_experts]
  std::vector<int64_t> rank_rows;     ///< rows that each rank receives in all. [ep_size]

  // At the source. Row send_rows[a] of expert e lands in its owner's row landing_rows[e] +
  // send_rows[a] - expert_send_rows[e].
  std::vector<int64_t> expert_send_rows;  ///< where this rank's rows for an expert begin, in
                                          ///< rank-major order here. [num_experts]
  std::vector<int64_t> landing_rows;      ///< and in the owner's expert-major order. [num_experts]

  // At the owner.
  std::vector<int32_t> local_experts;    ///< ascending. [num_local_experts]
  std::vector<int64_t> expert_offsets;   ///< expert-major rows of local expert i: [offsets[i],
                                         ///< offsets[i + 1]). [num_local_experts + 1]
  std::vector<RowBlock> landing_blocks;  ///< rank-major <-> expert-major, non-empty blocks only,
                                         ///< in message order. [<= ep_size * num_local_experts]

  NodePlan across;  ///< between nodes; empty where all ranks share one

  /// Whether it was completed: what a gate routes is planned when its layer is reached.
  bool is_planned() const { return !recv_displs.empty(); }
  /// Experts that this rank owns.
  int64_t num_local_experts() const { return static_cast<int64_t>(local_experts.size()); }
  /// Rows that this rank sends, those to itself included.
  int64_t total_send() const { return send_displs.back(); }
  /// Rows that this rank's experts receive.
  int64_t total_recv() const { return recv_displs.back(); }

  bool operator==(const ExchangePlan&) const = default;
};

/// A summary and the counts, for people and for failing tests.
std::ostream& operator<<(std::ostream& out, const ExchangePlan& plan);

/// A count as ranks tell it to each other. Sums of counts are int64.
using CountWord = uint32_t;

/// `value` as a CountWord. Throws InputError, naming `what`, where it does not fit.
CountWord count_word(int64_t value, std::string_view what);

/// counts[e] = assignments to expert e. experts: [assignments], -1 is skipped; counts:
/// [num_experts]. Throws InputError where there are more assignments than a CountWord can hold.
void count_assignments(std::span<const int32_t> experts, std::span<CountWord> counts);

/// rows[n] = tokens that have any expert on node n. experts: [tokens, top_k], -1 is skipped;
/// expert_nodes: [num_experts]; rows: [num_nodes]. Throws as count_assignments does.
void count_node_rows(std::span<const int32_t> experts, int top_k,
                     std::span<const int32_t> expert_nodes, std::span<CountWord> rows);

/// All ranks' counts for one layer: (source, expert) -> assignments, and where there are several
/// nodes (source, num_experts + node) -> rows (see count_node_rows). A view of rows that may stand
/// apart, as ranks contribute the counts of all layers at once.
struct CountMatrix {
  std::span<const CountWord> values;  ///< from the first row's first count to the last row's last
  int64_t row_stride = 0;             ///< words from a source's counts to the next one's

  /// Of one source rank and one expert.
  int64_t operator()(int64_t source, int64_t expert) const {
    return values[source * row_stride + expert];
  }
};

/// Makes the plan of rank `ep_rank`, a pure function of its assignments, all ranks' counts and the
/// placement. On entry plan.experts holds this rank's assignments ([tokens, top_k], from a router)
/// and plan.top_k their number per token; all else is overwritten, and memory is reused. Of a layer
/// without experts both are empty and 0, and plan.tokens is the caller's.
/// counts: [ep_size, num_experts], row s being count_assignments of source rank s.
/// Allocates nothing where the plan has held one of these sizes before. O(assignments + ep_size *
/// num_experts) time. Throws RunError where row ep_rank of counts is not that of plan.experts.
void complete_plan(const CountMatrix& counts, const Placement& placement, int ep_rank,
                   ExchangePlan& plan);

/// Adds plan.across to a completed plan: a pure function of the same, the counts holding rows for
/// nodes too, and of the nodes. `reduces`: results of a node return summed. O(assignments + ep_size
/// * num_experts) time. Throws RunError where this rank's rows are not those announced, InputError
/// where a node has more than 32,768 experts of the layer.
void complete_node_plan(const CountMatrix& counts, const Placement& placement, const NodeMap& nodes,
                        bool reduces, ExchangePlan& plan);

/// complete_plan as a value, counts being [ep_size, num_experts] without gaps.
ExchangePlan make_plan(std::vector<int32_t> experts, int top_k, std::span<const CountWord> counts,
                       const Placement& placement, int ep_rank);

}  // namespace hashep
