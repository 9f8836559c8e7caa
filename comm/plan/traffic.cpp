// SPDX-License-Identifier: Apache-2.0
#include "comm/plan/traffic.hpp"

#include <algorithm>

#include "hashep/buffer.hpp"

namespace hashep {
namespace {

size_t at(int64_t index) {
  return static_cast<size_t>(index);
}

}  // namespace

void keep_largest(const BufferRows& rows, BufferRows& largest) {
  largest = {.landing = std::max(largest.landing, rows.landing),
             .sent = std::max(largest.sent, rows.sent),
             .out = std::max(largest.out, rows.out),
             .out_routes = std::max(largest.out_routes, rows.out_routes),
             .in = std::max(largest.in, rows.in),
             .in_routes = std::max(largest.in_routes, rows.in_routes)};
}

int64_t row_buffer_bytes(const BufferRows& rows, RowBuffers exchange, bool reduces,
                         int64_t row_bytes) {
  if (exchange == RowBuffers::messages) return (rows.sent + 2 * rows.landing) * row_bytes;
  // Rows of two ranks never share a cache line (NodeRows); what goes out and comes in has the room
  // that its results need (FarSender, FarReceiver).
  constexpr int64_t kLine = Buffer::kAlignment;
  const int64_t landing = (rows.landing * row_bytes + kLine - 1) / kLine * kLine;
  const int64_t crossing = reduces ? rows.out + rows.in : rows.out_routes + rows.in_routes;
  return landing + crossing * row_bytes;
}

LayerTraffic layer_traffic(const CountMatrix& counts, const Placement& placement,
                           const NodeMap& nodes) {
  const int64_t num_experts = placement.num_experts();
  LayerTraffic traffic;
  traffic.expert_rows.resize(at(num_experts));
  traffic.rank_rows.resize(at(placement.ep_size()));
  traffic.buffers.resize(at(placement.ep_size()));
  std::vector<int32_t> expert_nodes;
  for (const int32_t owner : placement.ranks()) expert_nodes.push_back(nodes.node_of(owner));
  std::vector<int64_t> node_routes(at(nodes.num_nodes()));  // of one source
  for (int source = 0; source < placement.ep_size(); ++source) {
    const int32_t own_node = nodes.node_of(source);
    BufferRows& own = traffic.buffers[at(source)];
    std::fill(node_routes.begin(), node_routes.end(), 0);
    for (int64_t expert = 0; expert < num_experts; ++expert) {
      const int64_t rows = counts(source, expert);
      const int32_t owner = placement.rank_of(expert);
      own.sent += rows;
      traffic.expert_rows[at(expert)] += rows;
      traffic.rank_rows[at(owner)] += rows;
      node_routes[at(expert_nodes[at(expert)])] += rows;
      if (expert_nodes[at(expert)] == own_node && owner != source) traffic.rows_intra += rows;
    }
    for (int node = 0; node < nodes.num_nodes(); ++node) {
      if (node == own_node || node_routes[at(node)] == 0) continue;
      const int64_t rows = counts(source, num_experts + node);
      traffic.rows_inter += node_routes[at(node)];
      traffic.rows_inter_dedup += rows;
      own.out += rows;
      own.out_routes += node_routes[at(node)];
      BufferRows& taker = traffic.buffers[at(nodes.peer_of(source, node))];
      taker.in += rows;
      taker.in_routes += node_routes[at(node)];
    }
  }
  for (size_t rank = 0; rank < traffic.buffers.size(); ++rank) {
    traffic.buffers[rank].landing = traffic.rank_rows[rank];
  }
  return traffic;
}

TrafficMatrix empty_traffic(const NodeMap& nodes, TrafficUnit unit) {
  TrafficMatrix matrix;
  matrix.size = unit == TrafficUnit::rank ? nodes.ep_size() : nodes.num_nodes();
  matrix.rows.resize(at(matrix.size * matrix.size));
  if (unit == TrafficUnit::node) matrix.rows_dedup.resize(matrix.rows.size());
  return matrix;
}

void add_traffic(const CountMatrix& counts, const Placement& placement, const NodeMap& nodes,
                 TrafficUnit unit, TrafficMatrix& matrix) {
  const int64_t num_experts = placement.num_experts();
  for (int source = 0; source < placement.ep_size(); ++source) {
    const int32_t own_node = nodes.node_of(source);
    const int64_t row = (unit == TrafficUnit::rank ? source : own_node) * matrix.size;
    for (int64_t expert = 0; expert < num_experts; ++expert) {
      const int32_t owner = placement.rank_of(expert);
      const int32_t target = unit == TrafficUnit::rank ? owner : nodes.node_of(owner);
      matrix.rows[at(row + target)] += counts(source, expert);
      // Inside a node each choice of a token is a row.
      if (unit == TrafficUnit::node && target == own_node) {
        matrix.rows_dedup[at(row + target)] += counts(source, expert);
      }
    }
    if (unit == TrafficUnit::rank) continue;
    for (int node = 0; node < nodes.num_nodes(); ++node) {
      if (node == own_node) continue;
      matrix.rows_dedup[at(row + node)] += counts(source, num_experts + node);
    }
  }
}

}  // namespace hashep
