// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "comm/count_exchange.hpp"
#include "runtime/layer/batch_plan.hpp"
#include "runtime/layer/phase_log.hpp"
#include "runtime/layer/planning_options.hpp"
#include "runtime/tokens/token_stream.hpp"

namespace hashep {

/// Keeps the next batches' plans coming: `start` routes a batch and begins its planning exchange,
/// `finish` completes the oldest one begun, so that the exchanges of the next `depth` batches run
/// while a batch computes.
class PlanPipeline {
 public:
  /// Collective with Planning::exchange (duplicates `comm`). `comm` and `watch` may be null where
  /// planning is replicated. References must outlive the pipeline.
  PlanPipeline(const StackRouting& routing, const TokenStream& stream, const BatchSplit& split,
               const PlanningOptions& options, const Communicator* comm, Watch* watch);

  /// Begins planning the batch of `step`; at most depth + 1 batches are begun and not finished. An
  /// error in the ids is kept until `finish`, so that all ranks meet it; but where planning is
  /// replicated, InputError of a file that this rank cannot read is thrown at once, as other ranks
  /// may have read it. Collective.
  void start(int64_t step, PhaseLog& log);

  /// Begins the batches after `step` that are to be planned while it computes: up to `depth` of
  /// them, none of `num_steps` or later. Collective.
  void start_ahead(int64_t step, int64_t num_steps, PhaseLog& log);

  /// The plans of the oldest batch begun, valid until depth + 1 more are begun. Throws
  /// CollectiveInputError on all ranks where one found an id out of range. Collective.
  const BatchPlan& finish(PhaseLog& log);

  /// Plans held at once.
  int64_t slots() const { return static_cast<int64_t>(slots_.size()); }
  /// Planning exchanges begun so far.
  int64_t exchanges() const { return exchanges_; }

 private:
  /// One batch on its way.
  struct Slot {
    BatchPlan plan;
    std::optional<CountExchange> exchange;
    std::vector<CountWord> words;  // own [words], or where planning is replicated [ep_size, words]
    std::string error;
  };

  void route_own(int64_t step, Slot& slot);
  void route_all(int64_t step, Slot& slot);

  const StackRouting& routing_;
  const TokenStream& stream_;
  BatchSplit split_;
  Watch* watch_;
  int depth_;
  int64_t words_;
  std::vector<Slot> slots_;  // [depth + 1]
  BatchPlan scratch_;        // other ranks' routing, where planning is replicated
  int64_t started_ = 0;
  int64_t finished_ = 0;
  int64_t next_step_ = 0;  // after the one begun last
  int64_t exchanges_ = 0;
};

}  // namespace hashep
