// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "comm/count_exchange.hpp"
#include "runtime/layer/batch_plan.hpp"
#include "runtime/layer/phase_log.hpp"
#include "runtime/tokens/token_stream.hpp"

namespace hashep::bench {

/// Plans as a router must whose choices are known at run time only: layer by layer, when the layer
/// is reached, with a count exchange in each. The router itself is the static one, so that the
/// plans are those that PlanPipeline makes ahead, and what differs is when they are made. (A
/// learned router's GEMM comes on top.)
class InlinePlanner {
 public:
  /// Collective (duplicates `comm`). References must outlive the planner.
  InlinePlanner(const StackRouting& routing, const TokenStream& stream, const BatchSplit& split,
                const Communicator& comm, Watch& watch);

  /// Reads this rank's ids of the batch of `step`. Local.
  void start(int64_t step, PhaseLog& log);
  /// Routes the batch in this layer (phase route), exchanges the layer's counts and completes its
  /// plan (phase plan). Throws CollectiveInputError on all ranks where one found an id out of
  /// range. Collective.
  void plan_layer(int64_t layer, PhaseLog& log);

  /// Of the batch started last; whole once all its layers are planned.
  const BatchPlan& plan() const { return plan_; }

 private:
  /// A rank's words in an exchange: 1 where its ids are bad, then its counts.
  static constexpr int64_t kStatusWords = 1;

  const StackRouting& routing_;
  const TokenStream& stream_;
  BatchSplit split_;
  Watch& watch_;
  int64_t words_;
  CountExchange exchange_;
  std::vector<CountWord> own_;  // [words_]
  BatchPlan plan_;
  std::string error_;
};

}  // namespace hashep::bench
