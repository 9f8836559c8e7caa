// SPDX-License-Identifier: Apache-2.0
#include "comm/exchange/peer_rows.hpp"

#include <algorithm>

namespace hashep {

PeerRows::PeerRows(const Topology& topology, int ep_rank, Watch& watch)
    : topology_(topology), node_(topology.nodes.node_of(ep_rank)), memory_(topology.node, watch) {}

bool PeerRows::reserve(std::span<const ExchangePlan> plans, DType dtype, int64_t hidden_size,
                       const BeforeFree& before_free) {
  dtype_ = dtype;
  hidden_size_ = hidden_size;
  const auto ranks = topology_.nodes.ranks_of(node_);
  bool grows = false;
  for (const ExchangePlan& plan : plans) {
    for (int rank = 0; rank < node_size(); ++rank) {
      const int64_t rows = plan.rank_rows[static_cast<size_t>(ranks[static_cast<size_t>(rank)])];
      const int64_t needed = rows * hidden_size * dtype_size(dtype);
      grows = grows || needed > memory_.bytes_of(rank);
      if (rank == topology_.node.rank()) own_bytes_ = std::max(own_bytes_, needed);
    }
  }
  if (!grows) return false;
  if (before_free) before_free();
  memory_.resize(own_bytes_);
  return true;
}

MatrixView PeerRows::own(const ExchangePlan& plan) const {
  return {rows_of(topology_.node.rank()), dtype_, plan.total_recv(), hidden_size_};
}

void PeerRows::find_places(const ExchangePlan& plan, std::span<ExpertPlace> places) const {
  for (size_t expert = 0; expert < places.size(); ++expert) {
    const int32_t owner = plan.expert_ranks[expert];
    places[expert] = {};
    if (topology_.nodes.node_of(owner) != node_) continue;
    places[expert] = {rows_of(topology_.nodes.local_index(owner)),
                      plan.landing_rows[expert] - plan.expert_send_rows[expert]};
  }
}

int64_t PeerRows::others_bytes() const {
  int64_t sum = -own_bytes();
  for (int rank = 0; rank < node_size(); ++rank) sum += memory_.bytes_of(rank);
  return sum;
}

}  // namespace hashep
