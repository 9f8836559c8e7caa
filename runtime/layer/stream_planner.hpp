// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "runtime/layer/phase_log.hpp"
#include "runtime/layer/planner.hpp"
#include "runtime/layer/planning_options.hpp"
#include "runtime/tokens/token_stream.hpp"

namespace hashep {

/// Feeds a Planner from a token stream, for programs that run batches of one size step after step:
/// reads this rank's part of each batch (all ranks' where planning is replicated) and submits it
/// `depth` steps ahead.
class StreamPlanner {
 public:
  /// Collective with Planning::exchange. `ranks` may be none where planning is replicated.
  /// References, and what `ranks` refers to, must outlive the planner.
  StreamPlanner(const StackGeometry& geometry, const Router& router, const TokenStream& stream,
                const BatchSplit& split, const PlanningOptions& options,
                const std::optional<JobRanks>& ranks, PhaseLog& log);

  /// Begins planning the next batch; at most depth + 1 batches are begun and not taken. A stream
  /// that this rank cannot read is met by all ranks, in `take`; but where planning is replicated it
  /// is thrown at once, as other ranks may have read it. Collective.
  void begin();
  /// Begins the batches after `step` that are to be planned while it computes: up to `depth` of
  /// them, none of `num_steps` or later. Collective.
  void begin_ahead(int64_t step, int64_t num_steps);
  /// The plans of the oldest batch that was begun and not taken, valid until depth + 1 more are
  /// begun; as Planner::wait gives them. Collective.
  BatchPlan& take();
  /// The plans of a batch that was begun and not taken: waits for them as `take` does. Collective.
  const BatchPlan& look_at(int64_t step);
  /// Batches begun so far.
  int64_t begun() const { return begun_; }

  /// Plans held at once.
  int64_t slots() const { return std::ssize(tickets_); }
  /// Planning exchanges begun so far.
  int64_t exchanges() const { return planner_.exchanges(); }
  /// See Planner::buffer_bytes.
  int64_t buffer_bytes() const { return planner_.buffer_bytes(); }

 private:
  Ticket submit(int64_t step);
  Ticket& ticket_of(int64_t step) { return tickets_[step % std::ssize(tickets_)]; }

  const TokenStream& stream_;
  BatchSplit split_;
  Planning planning_;
  PhaseLog& log_;
  Planner planner_;
  std::vector<StreamBatch> batches_;  // this rank's, or where planning is replicated those of all
  std::vector<TokenBatch> views_;     // of all batches_
  std::vector<Ticket> tickets_;       // [depth + 1]
  int64_t begun_ = 0;
  int64_t taken_ = 0;
};

}  // namespace hashep
