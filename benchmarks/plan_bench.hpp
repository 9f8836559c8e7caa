// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "benchmarks/harness.hpp"

namespace hashep::bench {

/// What `hashep-bench plan` measures: all combinations of routers and top_k, on one core.
struct PlanOptions {
  std::vector<std::string> routers{"table", "token", "position", "previous", "bigram"};
  std::vector<int64_t> top_k{1, 6};
  int64_t tokens = int64_t{1} << 20;  // of the one rank that plans
  int64_t num_experts = 256;
  int64_t vocab_size = 129280;
  int64_t ep_size = 8;
  Sampling sampling;
};

/// Measures what static routing costs ahead of a layer: `route` (ids -> experts), `plan` (experts
/// -> ExchangePlan, counts known) and `planning` (both, one after the other), on Zipf ids. Checks
/// each plan first: its rows are a permutation in the order (owner, expert, token). Prints a line
/// for each row with ns per token and, for plans, bytes per assignment. Returns the rows as JSON.
/// Throws RunError where a plan is wrong.
nlohmann::ordered_json measure_plan(const PlanOptions& options);

}  // namespace hashep::bench
