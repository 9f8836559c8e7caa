// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/exchange/node_flags.hpp"
#include "comm/plan/plan_size.hpp"
#include "comm/shared_window.hpp"
#include "comm/topology.hpp"
#include "comm/watch.hpp"
#include "hashep/exchange_plan.hpp"

namespace hashep {

/// How far a rank is with a planning exchange, as the ranks of its node see it.
enum class CountStage {
  gathered,  // its own words stand in the node's matrix, and so do those it takes in
  read,      // it needs the matrix no more
};
inline constexpr int kNumCountStages = 2;
static_assert(NodeFlags::window_bytes(1, kNumCountStages) == kCountFlagBytes);

/// What a rank has not done that is not at a stage, for errors.
inline const char* what_is_missing(CountStage stage) {
  return stage == CountStage::gathered ? "'s counts" : " to read the counts";
}

/// The planning exchange: each rank contributes its counts for all layers of a batch, O(layers x
/// experts) integers, and gets those of all ranks. They stand in one matrix a node, in memory that
/// its ranks share. A rank writes its own row, and exchanges it, by one non-blocking all-gather,
/// with one rank of each other node (the ranks of equal local index: a rail), whose rows MPI writes
/// straight into the matrix; so the ranks of a node bring in each row once. Where a node has fewer
/// ranks than another, its ranks take in the rails that are left, in turn. On one node nothing but
/// flags moves. 4,096 ranks on 512 nodes, with 3 layers of 256 experts and rows for nodes, gather
/// 37.8 MB a node.
///
/// Where ranks of a node turn out to share no memory (/dev/shm is too small, or not the same for
/// all), each rank of the job has a matrix of its own, and takes in all rows.
class CountExchange {
 public:
  /// The words of all ranks, for as long as it lives; then other ranks may overwrite them.
  class Gathered {
   public:
    explicit Gathered(CountExchange& exchange) : exchange_(&exchange) {}
    ~Gathered();
    Gathered(const Gathered&) = delete;
    Gathered& operator=(const Gathered&) = delete;

    /// [ep_size, words]
    std::span<const CountWord> words() const;

   private:
    CountExchange* exchange_;
  };

  /// `words`: integers each rank contributes. What `ranks` refers to must outlive this. Collective.
  CountExchange(const JobRanks& ranks, int64_t words);
  /// May be pending: it is completed where all ranks come here, which is where no error unwinds
  /// them, or one that all have met; else memory and communicators are left to MPI.
  ~CountExchange();
  CountExchange(const CountExchange&) = delete;  // MPI and the watch know where it is
  CountExchange& operator=(const CountExchange&) = delete;

  /// Begins an exchange, which then goes on in all waits of the watch, whatever they are for. Waits
  /// until the ranks of the node have read what the one before brought. `mine`: [words], copied.
  /// Collective.
  void start(std::span<const CountWord> mine);

  /// Completes it. Collective.
  Gathered finish();

  /// Ranks that share the matrix, this one included.
  int64_t ranks_of_node() const { return flags_ ? flags_->size() : 1; }
  /// Bytes that they share.
  int64_t bytes() const { return count_exchange_bytes(words_, ep_size_, ranks_of_node()); }

 private:
  /// One of each node, this rank among them.
  struct Rail {
    Communicator comm;
    std::vector<int> counts;  // rows that each contributes: one, or none where it has its own rail
    std::vector<int> places;  // in the matrix
    MPI_Request request = MPI_REQUEST_NULL;
  };

  void share_memory(const JobRanks& ranks);
  void join_rails(const JobRanks& ranks, const NodeMap& nodes);
  bool is_pending() const;
  /// Tells the node where this rank has all rows that it takes in.
  void tell_progress();

  Watch& watch_;
  int ep_rank_;
  int64_t ep_size_;
  int64_t words_;
  RowDatatype row_;
  SharedWindow window_;               // or, where no memory is shared,
  std::unique_ptr<CountWord[]> own_;  // memory of its own
  CountWord* matrix_ = nullptr;       // [ep_size, words]
  std::optional<NodeFlags> flags_;    // where memory is shared
  std::vector<Rail> rails_;           // whose rows this rank takes in
  int64_t number_ = 0;                // of the exchange begun last, from 1
};

}  // namespace hashep
