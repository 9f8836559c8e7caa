// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "benchmarks/harness.hpp"

namespace hashep::bench {

/// What `hashep-bench plan` measures: all combinations of its lists. Routing and planning on one
/// core, or, where `exchange` is set, the planning exchange over the ranks at hand.
struct PlanOptions {
  std::vector<int64_t> num_experts{256};
  // Of routing and planning.
  std::vector<std::string> routers{"table", "token", "position", "previous", "bigram"};
  std::vector<int64_t> top_k{1, 6};
  std::vector<int64_t> ep_sizes{8};
  int64_t tokens = int64_t{1} << 20;  // of the one rank that plans
  int64_t vocab_size = 129280;
  // Of the planning exchange.
  bool exchange = false;
  std::vector<int64_t> num_layers{1};
  double deadline = 120.0;  // seconds

  Sampling sampling;
};

/// Checks what the options alone can tell. Throws InputError.
void validate(const PlanOptions& options);

/// Measures what static routing costs ahead of a layer: `route` (ids -> experts), `plan` (experts
/// -> ExchangePlan, counts known) and `planning` (both, one after the other), on Zipf ids. Checks
/// each plan first (plan_check.hpp). Prints a line for each row with ns per token and bytes.
/// Returns the rows as JSON. Throws RunError where a plan is wrong.
nlohmann::ordered_json measure_plan(const PlanOptions& options);

}  // namespace hashep::bench
