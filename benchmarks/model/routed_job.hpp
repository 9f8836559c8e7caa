// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "benchmarks/model/rank_flows.hpp"
#include "benchmarks/workloads/make_workload.hpp"
#include "hashep/batch_plan.hpp"

namespace hashep::bench {

/// The token ids of a job and how they find their experts, in the words of `hashep-bench`.
struct JobRouting {
  WorkloadOptions workload;              // but for its sizes, which are the job's
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
  /// Reads the token file or table. Throws InputError; so it does where a workload by rules
  /// (W0 to W6) cannot have as many tokens on each rank.
  RoutedJob(const JobRouting& routing, const JobShape& shape);

  /// Flows of the batch of step 0: each rank's tokens are routed as that rank would. Throws
  /// InputError on ids that the router refuses. The same for any number of threads.
  JobFlows count_flows(int threads) const;

  const NodeMap& nodes() const { return *made_.geometry.nodes(); }
  const Placement& placement() const { return made_.geometry.placement(0); }
  const StackGeometry& geometry() const { return made_.geometry; }
  const Router& router() const { return *made_.router; }
  const TokenStream& stream() const { return *made_.stream; }
  BatchSplit split(int rank) const;

 private:
  JobShape shape_;
  MadeWorkload made_;
};

}  // namespace hashep::bench
