// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "comm/exchange/peer_memory.hpp"
#include "comm/topology.hpp"
#include "core/device_stream.hpp"
#include "hashep/exchange_plan.hpp"
#include "hashep/tensor_view.hpp"
#include "kernels/rows/expert_place.hpp"

namespace hashep {

/// The expert-major buffers of all ranks of a node, each in its rank's GPU memory and mapped by all
/// others: NodeRows for GPUs. All ranks know from their plans how many rows each rank receives, and
/// how much memory each has, so they agree on when to grow without a word.
class PeerRows {
 public:
  /// `topology` and `watch` must outlive this.
  PeerRows(const Topology& topology, int ep_rank, Watch& watch);

  /// Makes room for each of these plans: the rows that each rank of the node receives, the most of
  /// any plan yet; with headroom once it has had to grow (PeerMemory). Collective over the node;
  /// where room is lacking anywhere, calls `before_free` and waits for the others. True where
  /// addresses have changed.
  bool reserve(std::span<const ExchangePlan> plans, DType dtype, int64_t hidden_size,
               const BeforeFree& before_free);

  /// This rank's expert-major rows under a plan.
  MatrixView own(const ExchangePlan& plan) const;

  /// Where this rank's rows for each expert of the node stand under `plan`, (find_node_places).
  /// places: [num_experts]
  void find_places(const ExchangePlan& plan, std::span<ExpertPlace> places) const;

  /// The expert-major rows of the node's rank `node_rank`.
  std::byte* rows_of(int node_rank) const { return memory_.of(node_rank); }
  int node_size() const { return topology_.node.size(); }

  int64_t own_bytes() const { return memory_.own().capacity(); }
  int64_t others_bytes() const;

 private:
  const Topology& topology_;
  int32_t node_;
  DType dtype_ = DType::f32;
  int64_t hidden_size_ = 0;
  std::vector<int64_t> used_;  // bytes of each rank's rows at most. [node ranks]
  PeerMemory memory_;
};

}  // namespace hashep
