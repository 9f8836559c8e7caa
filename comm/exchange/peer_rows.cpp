// SPDX-License-Identifier: Apache-2.0
#include "comm/exchange/peer_rows.hpp"

#include "comm/exchange/landing_places.hpp"

namespace hashep {

PeerRows::PeerRows(const Topology& topology, int ep_rank, Watch& watch)
    : topology_(topology),
      node_(topology.nodes.node_of(ep_rank)),
      used_(topology.node.size()),
      memory_(topology.node, watch) {}

bool PeerRows::reserve(std::span<const ExchangePlan> plans, DType dtype, int64_t hidden_size,
                       const BeforeFree& before_free) {
  dtype_ = dtype;
  hidden_size_ = hidden_size;
  raise_to_received(plans, topology_.nodes.ranks_of(node_), hidden_size * dtype_size(dtype), used_);
  bool grows = false;
  for (int rank = 0; rank < node_size(); ++rank) {
    grows = grows || used_[rank] > memory_.bytes_of(rank);
  }
  if (!grows) return false;
  if (before_free) before_free();
  memory_.resize(used_[topology_.node.rank()]);
  return true;
}

MatrixView PeerRows::own(const ExchangePlan& plan) const {
  return {rows_of(topology_.node.rank()), dtype_, plan.total_recv(), hidden_size_};
}

void PeerRows::find_places(const ExchangePlan& plan, std::span<ExpertPlace> places) const {
  find_node_places(
      plan, topology_.nodes, [this](int rank) { return rows_of(rank); }, places);
}

int64_t PeerRows::others_bytes() const {
  int64_t sum = -own_bytes();
  for (int rank = 0; rank < node_size(); ++rank) sum += memory_.bytes_of(rank);
  return sum;
}

}  // namespace hashep
