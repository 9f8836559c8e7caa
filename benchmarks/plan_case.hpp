// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "hashep/exchange_plan.hpp"
#include "hashep/router.hpp"
#include "runtime/tokens/token_stream.hpp"

namespace hashep::bench {

/// What one rank plans.
struct PlanCaseOptions {
  std::string router;  // table (a random one), token, position, previous, bigram or balanced
  int top_k = 1;
  int64_t tokens = 0;
  int64_t num_experts = 1;
  int64_t vocab_size = 1;
  int ep_size = 1;
};

/// Routing and planning of a batch of Zipf ids as rank 0 does them, ready to be timed. The other
/// ranks' counts are taken to be like its own, as if they had come by the planning exchange.
class PlanCase {
 public:
  /// Routes and plans once. Throws InputError on an unknown router.
  explicit PlanCase(const PlanCaseOptions& options);

  /// Ids -> experts.
  void route() { router_->route(batch_, plan_.experts); }
  /// Experts -> ExchangePlan: this rank's assignments are counted anew, and the plan completed.
  void plan();

  /// See wrong_in_plan, of the newest plan.
  int64_t wrong() const;
  int64_t bytes() const;
  int64_t assignments() const { return static_cast<int64_t>(plan_.experts.size()); }
  /// Of the counts that the planning exchange gathers for this layer.
  int64_t count_bytes() const { return static_cast<int64_t>(counts_.size() * sizeof counts_[0]); }

 private:
  CountMatrix counts() const { return {counts_, placement_.num_experts()}; }

  std::unique_ptr<Router> router_;
  Placement placement_;
  std::vector<CountWord> counts_;  // [ep_size, num_experts]
  TokenBatch batch_;
  ExchangePlan plan_;
};

}  // namespace hashep::bench
