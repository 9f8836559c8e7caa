// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "comm/count_exchange.hpp"
#include "hashep/batch_plan.hpp"
#include "runtime/layer/planning_fault.hpp"

namespace hashep {

/// A batch that has been submitted.
struct Ticket {
  int64_t step = -1;  // which one, counted from 0
};

/// Plans batches ahead of their steps. `submit` routes this rank's tokens in all layers and begins
/// the batch's planning exchange, `wait` completes the plans from what has been gathered; any
/// number of batches may be in between. One exchange a batch, of each rank's status, number of
/// tokens and counts, and none inside a layer. Of a rank's calls all but `release` are collective:
/// all ranks make them in the same order.
class Planner {
 public:
  /// Each rank knows its own tokens. Collective. `exchanges`: how many may be under way at once; to
  /// submit more completes the oldest first. References, and what `ranks` refers to, must outlive
  /// the planner.
  Planner(const StackGeometry& geometry, const Router& router, const JobRanks& ranks,
          int exchanges = 1);
  /// Each rank knows all tokens (submit_all): nothing is exchanged, no call waits for other ranks.
  Planner(const StackGeometry& geometry, const Router& router, int ep_rank);

  /// This rank's part of a batch, the ranks' parts standing one after the other in rank order. Any
  /// number of tokens, none included; ranks may have different numbers. What is kept is copied:
  /// `batch` may go when this returns. What is wrong with it is met by all ranks, in `wait`. Waits
  /// for no rank, but where too many exchanges are under way, or ranks of the node still read what
  /// an earlier one brought.
  Ticket submit(const TokenBatch& batch);
  /// In place of a batch that this rank could not make: all ranks meet `text`, as InputError, in
  /// `wait`.
  Ticket submit_error(const std::string& text);
  /// All ranks' parts of a batch, the same on all ranks: no exchange. [ep_size]
  Ticket submit_all(std::span<const TokenBatch> batches_by_rank);

  /// The batch's plans, valid until `release`. Tickets may be waited for in any order, also more
  /// than once. Where a rank's tokens were bad, throws on all ranks (CollectiveInputError, or
  /// CollectiveRunError where routing failed in another way); the batch is then released, and
  /// others are as they were. Throws RunError where there is no such batch. Layers with a gate are
  /// the caller's to plan (LayerPlanner).
  BatchPlan& wait(Ticket ticket);
  /// The batch's memory is free for another one. Of a batch that has not been waited for, its
  /// exchange goes on. Local.
  void release(Ticket ticket);

  /// Ends the exchanges that are under way, or leaves them to MPI where other ranks may not come to
  /// end them. Nothing can be submitted then, and plans stay. Collective where it can be.
  void end_exchanges() { ring_.clear(); }

  /// Batches submitted and not released.
  int64_t in_flight() const;
  /// Plans held in memory: the most that have been in flight at once.
  int64_t slots() const { return std::ssize(slots_); }
  /// Planning exchanges begun so far.
  int64_t exchanges() const { return exchanges_begun_; }
  /// Bytes through which ranks learn of each other's words, beside the plans; of memory that ranks
  /// of a node share this rank's part. planning_buffer_bytes foretells them.
  int64_t buffer_bytes() const;

 private:
  /// A batch on its way.
  struct Slot {
    BatchPlan plan;
    int64_t step = -1;      // -1: the slot is free
    int64_t exchange = -1;  // which one, counted from 0; -1: none
    bool is_settled = false;
    bool is_given_up = false;      // released before it was settled
    FoundFault found;              // once it is settled
    std::string text;              // of this rank's own fault
    std::vector<CountWord> words;  // with submit_all all ranks': [ep_size, row_words_]
  };

  Slot& free_slot();
  Slot& slot_of(Ticket ticket);
  void route(const TokenBatch& batch, BatchPlan& plan, std::span<CountWord> words,
             std::string& text);
  void make_room_for_exchange();
  Ticket begin_exchange(Slot& slot);
  Ticket take(Slot& slot);
  void settle_through(int64_t exchange);
  void settle(Slot& slot, std::span<const CountWord> words);

  const StackGeometry& geometry_;
  const Router& router_;
  int ep_rank_;
  int64_t row_words_;                                 // a rank's: status, tokens, counts
  std::vector<CountWord> words_;                      // this rank's, of the batch submitted last
  std::vector<std::unique_ptr<CountExchange>> ring_;  // exchange i is in ring_[i mod size]
  std::vector<std::unique_ptr<Slot>> slots_;
  BatchPlan scratch_;  // other ranks' routing, with submit_all
  int64_t submitted_ = 0;
  int64_t exchanges_begun_ = 0;
  int64_t exchanges_completed_ = 0;  // in the order in which they were begun
};

}  // namespace hashep
