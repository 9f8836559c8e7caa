// SPDX-License-Identifier: Apache-2.0
#include "comm/plan/plan_size.hpp"

namespace hashep {
namespace {

/// Bytes of an array like this one with so many elements.
template <typename Vector>
int64_t bytes_of(const Vector&, int64_t size) {
  return size * static_cast<int64_t>(sizeof(typename Vector::value_type));
}

int64_t experts_of(const Placement& placement, std::span<const int32_t> ranks) {
  int64_t experts = 0;
  for (const int32_t rank : ranks) experts += placement.range_of(rank).size();
  return experts;
}

/// Of NodePlan, but for the object itself.
int64_t node_plan_bytes(const CountMatrix& counts, const Placement& placement, const NodeMap& nodes,
                        int ep_rank, int64_t assignments) {
  const int32_t own_node = nodes.node_of(ep_rank);
  const int64_t num_experts = placement.num_experts();
  const int64_t node_experts = experts_of(placement, nodes.ranks_of(own_node));
  const int64_t sources = count_sources(nodes, ep_rank);
  int64_t rows = 0;    // to other nodes
  int64_t routes = 0;  // assignments to experts there
  for (int node = 0; node < nodes.num_nodes(); ++node) {
    if (node != own_node) rows += counts(ep_rank, num_experts + node);
  }
  for (int64_t expert = 0; expert < num_experts; ++expert) {
    if (nodes.node_of(placement.rank_of(expert)) != own_node) routes += counts(ep_rank, expert);
  }
  const NodePlan like;
  const NodePlan::Outgoing out;
  const NodePlan::Incoming in;
  return bytes_of(like.node_experts, node_experts) + bytes_of(like.expert_routes, num_experts) +
         bytes_of(like.expert_outgoing, num_experts) +
         bytes_of(like.outgoing, nodes.num_nodes() - 1) + bytes_of(like.incoming, sources) +
         bytes_of(like.far_rows,
                  count_far_ranges(counts, nodes, placement.local_experts(ep_rank), ep_rank)) +
         bytes_of(like.return_rows, assignments) + bytes_of(out.tokens, rows) +
         bytes_of(out.routes, routes) + bytes_of(in.landing_rows, sources * node_experts);
}

}  // namespace

int64_t expected_plan_bytes(const CountMatrix& counts, const Placement& placement,
                            const NodeMap& nodes, int ep_rank, int64_t assignments) {
  const int64_t ranks = placement.ep_size();
  const int64_t num_experts = placement.num_experts();
  const int64_t local = placement.range_of(ep_rank).size();
  const ExchangePlan like;
  int64_t bytes = static_cast<int64_t>(sizeof(ExchangePlan)) + bytes_of(like.experts, assignments) +
                  bytes_of(like.send_rows, assignments) + bytes_of(like.send_counts, ranks) +
                  bytes_of(like.send_displs, ranks + 1) + bytes_of(like.recv_counts, ranks) +
                  bytes_of(like.recv_displs, ranks + 1) + bytes_of(like.expert_ranks, num_experts) +
                  bytes_of(like.rank_rows, ranks) + bytes_of(like.expert_send_rows, num_experts) +
                  bytes_of(like.landing_rows, num_experts) + bytes_of(like.local_experts, local) +
                  bytes_of(like.expert_offsets, local + 1) +
                  bytes_of(like.landing_blocks, ranks * local);
  if (nodes.num_nodes() > 1) {
    bytes += node_plan_bytes(counts, placement, nodes, ep_rank, assignments);
  }
  return bytes;
}

int64_t count_sources(const NodeMap& nodes, int ep_rank) {
  const int32_t own_node = nodes.node_of(ep_rank);
  const int64_t own_ranks = std::ssize(nodes.ranks_of(own_node));
  const int64_t own_index = nodes.local_index(ep_rank);
  int64_t sources = 0;
  for (int node = 0; node < nodes.num_nodes(); ++node) {
    if (node == own_node) continue;
    const int64_t ranks = std::ssize(nodes.ranks_of(node));
    // Local indices own_index, own_index + own_ranks and so on: see NodeMap::peer_of.
    if (ranks > own_index) sources += (ranks - own_index + own_ranks - 1) / own_ranks;
  }
  return sources;
}

int64_t count_far_ranges(const CountMatrix& counts, const NodeMap& nodes,
                         std::span<const int32_t> local_experts, int ep_rank) {
  const int32_t own_node = nodes.node_of(ep_rank);
  int64_t ranges = 0;
  bool in_range = false;
  for (const int32_t expert : local_experts) {
    for (int source = 0; source < nodes.ep_size(); ++source) {
      if (counts(source, expert) == 0) continue;
      const bool is_far = nodes.node_of(source) != own_node;
      if (is_far && !in_range) ++ranges;
      in_range = is_far;
    }
  }
  return ranges;
}

}  // namespace hashep
