// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "benchmarks/model/rank_flows.hpp"
#include "runtime/exec/batch_plan.hpp"
#include "runtime/exec/stack_routing.hpp"
#include "runtime/routing/token_stream.hpp"

namespace hashep::bench {

/// The token ids of a job and how they find their experts, in the words of `hashep-bench`.
struct JobRouting {
  std::string workload = "uniform";  // of seeded ids: uniform or zipf
  TokenFile tokens;                  // instead, where a path is given
  int64_t vocab_size = 32768;
  RouterKind router = RouterKind::token;
  std::string table;  // RouterKind::table
  uint64_t seed = 1;
  std::string placement = "contiguous";  // as for `hashep run`
};

/// A job of one layer.
struct JobShape {
  int64_t batch_tokens = 0;  // over all ranks
  int64_t num_experts = 16;
  int64_t top_k = 1;
  int ranks = 1;
  int64_t ranks_per_node = 1;
};

/// The static routing of a job, as `hashep-bench exchange` and `layer` make it: the cost model's
/// numbers are those of the same tokens.
class RoutedJob {
 public:
  /// Reads the token file or table. Throws InputError.
  RoutedJob(const JobRouting& routing, const JobShape& shape);

  /// Flows of the batch of step 0: each rank's tokens are routed as that rank would. Throws
  /// InputError on ids that the router refuses. The same for any number of threads.
  JobFlows count_flows(int threads) const;

  const NodeMap& nodes() const { return *routing_.nodes; }
  const Placement& placement() const { return routing_.placements.front(); }
  const StackRouting& routing() const { return routing_; }
  const TokenStream& stream() const { return *stream_; }
  BatchSplit split(int rank) const;

 private:
  JobShape shape_;
  std::unique_ptr<TokenStream> stream_;
  int64_t seq_len_;
  StackRouting routing_;
};

}  // namespace hashep::bench
