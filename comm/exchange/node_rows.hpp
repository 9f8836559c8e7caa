// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <numeric>
#include <span>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/shared_window.hpp"
#include "comm/watch.hpp"
#include "hashep/exchange_plan.hpp"
#include "hashep/node_map.hpp"
#include "hashep/tensor_view.hpp"
#include "kernels/rows/expert_place.hpp"

namespace hashep {

/// The expert-major buffers of all ranks of a node, in one shared-memory window. All ranks know
/// from their plans how many rows each rank receives, so they agree on sizes without a word.
class NodeRows {
 public:
  /// `node`, `nodes` and `watch` must outlive this. `ep_rank` is of that node.
  NodeRows(const Communicator& node, const NodeMap& nodes, int ep_rank, Watch& watch);

  /// Makes room for each of these plans: exactly the rows that each rank of the node receives, the
  /// most of any plan yet. Collective over the node; waits for others only where some rank receives
  /// more than ever. Each rank reserves the pages of its own rows, which so are near its cores, as
  /// its experts read and write them. Address space is taken for kHeadroom times as much, so that
  /// the window is rarely made anew: true where it was, and addresses have changed. Throws as
  /// SharedWindow does.
  bool reserve(std::span<const ExchangePlan> plans, DType dtype, int64_t hidden_size);

  /// This rank's expert-major rows under a plan.
  MatrixView own(const ExchangePlan& plan) const;

  /// Where this rank's rows for each expert of the node stand under `plan` (find_node_places).
  /// places: [num_experts]
  void find_places(const ExchangePlan& plan, std::span<ExpertPlace> places) const;

  /// The expert-major rows of a rank of the node.
  std::byte* rows_of(int rank) const;

  /// Whether rows are better written past the caches (worth_streaming): a rank of this node reads
  /// and writes as many bytes as land on it, on the average.
  bool are_streamed(const ExchangePlan& plan) const;

  /// Bytes of the other ranks' rows at most, and of this rank's.
  int64_t others_bytes() const {
    return std::accumulate(used_.begin(), used_.end(), int64_t{0}) - own_bytes();
  }
  int64_t own_bytes() const { return used_[node_.rank()]; }

 private:
  static constexpr double kHeadroom = 1.25;

  /// With room for the rows in use, and headroom.
  void make_window();

  const Communicator& node_;
  const NodeMap& nodes_;
  std::span<const int32_t> ranks_;  // of the node
  Watch& watch_;
  DType dtype_ = DType::f32;
  int64_t hidden_size_ = 0;
  std::vector<int64_t> used_;      // bytes of each rank's rows at most, whole lines. [node ranks]
  std::vector<int64_t> needed_;    // the same, while it is found out. [node ranks]
  std::vector<int64_t> capacity_;  // bytes there is room for. [node ranks]
  std::vector<int64_t> begin_;     // where they begin in the window. [node ranks]
  SharedWindow window_;
};

}  // namespace hashep
