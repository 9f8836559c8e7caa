// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "comm/count_exchange.hpp"
#include "runtime/exec/batch_plan.hpp"
#include "runtime/exec/phase_log.hpp"
#include "runtime/routing/token_stream.hpp"

namespace hashep {

/// How ranks learn of each other's counts.
enum class Planning {
  exchange,    // each rank reads its own ids; one planning exchange per batch, for all layers
  replicated,  // each rank reads and routes all ids; no exchange
};

/// Keeps the next batch's plans coming: `start` routes a batch and begins its planning exchange,
/// `finish` completes it, so that the exchange of batch b + 1 runs while batch b computes.
class PlanPipeline {
 public:
  /// Collective with Planning::exchange (duplicates `comm`). `comm` and `watch` may be null where
  /// planning is replicated. References must outlive the pipeline.
  PlanPipeline(const StackRouting& routing, const TokenStream& stream, const BatchSplit& split,
               Planning planning, const Communicator* comm, Watch* watch);

  /// Begins planning the batch of `step`. An error in the ids is kept until `finish`, so that all
  /// ranks meet it. Collective.
  void start(int64_t step, PhaseLog& log);

  /// The plans of the batch begun last, valid until the next but one start. Throws
  /// CollectiveInputError on all ranks where one found an id out of range. Collective.
  const BatchPlan& finish(PhaseLog& log);

  /// Planning exchanges begun so far.
  int64_t exchanges() const { return exchange_ ? exchange_->exchanges() : 0; }

 private:
  /// A rank's words in the planning exchange: 1 where its ids are bad, then its counts.
  static constexpr int64_t kStatusWords = 1;

  void route_own(int64_t step, BatchPlan& plan);
  void route_all(int64_t step, BatchPlan& plan);

  const StackRouting& routing_;
  const TokenStream& stream_;
  BatchSplit split_;
  Watch* watch_;
  std::optional<CountExchange> exchange_;
  std::array<BatchPlan, 2> plans_;  // the one in use and the one being made
  BatchPlan scratch_;               // other ranks' routing, where planning is replicated
  int64_t started_ = 0;
  int64_t words_;
  std::vector<int64_t> own_words_;  // [words]
  std::vector<int64_t> all_words_;  // [ep_size, words], where planning is replicated
  std::string error_;
};

}  // namespace hashep
