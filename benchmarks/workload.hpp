// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "benchmarks/rank_options.hpp"
#include "benchmarks/workloads/make_workload.hpp"
#include "comm/agreement.hpp"
#include "runtime/layer/stream_planner.hpp"

namespace hashep::bench {

/// The token ids of a benchmark on ranks and their static routing in all its layers: a workload by
/// name (workloads/make_workload.hpp), planned over the ranks.
class Workload {
 public:
  /// Reads token and table files. Local. Throws InputError.
  Workload(const RankOptions& options, const NodeMap& nodes, int ep_rank);
  Workload(const Workload&) = delete;  // pipelines refer to it
  Workload& operator=(const Workload&) = delete;

  /// balanced, zipf, tokens ... (see workload_name).
  const std::string& name() const { return made_.name; }
  const std::string& router_name() const { return made_.router_name; }
  int64_t num_layers() const { return made_.geometry.num_layers(); }
  /// What must be the same on all ranks, beside the command line.
  std::vector<Setting> settings() const;

  /// The batches of ep_size * tokens_per_rank tokens. Throws InputError where that is too many.
  BatchSplit split(int64_t tokens_per_rank) const;
  /// Plans these batches. The workload and `log` must outlive it. Collective.
  StreamPlanner planner(const BatchSplit& split, const Communicator& comm, Watch& watch,
                        PhaseLog& log) const;
  /// The plan of the batch of step 0. Throws RunError, on all ranks, where a workload by
  /// rules (W0 to W6) does not load experts as they say. Collective.
  BatchPlan plan(const BatchSplit& split, const Communicator& comm, Watch& watch) const;
  /// The experts in the first layer of the whole batch of step 0, all ranks' tokens, routed here
  /// and without a plan: [batch_tokens, top_k]. Local.
  std::vector<int32_t> all_experts(const BatchSplit& split) const;

  const StackGeometry& geometry() const { return made_.geometry; }
  const Router& router() const { return *made_.router; }
  const TokenStream& stream() const { return *made_.stream; }
  std::span<const Placement> placements() const { return made_.geometry.placements(); }
  std::span<const int32_t> local_experts() const {
    return made_.geometry.placements().front().local_experts(ep_rank_);
  }

 private:
  const TokenStream& ids(const BatchSplit& split) const;

  WorkloadOptions options_;
  int64_t tokens_per_rank_;
  bool has_rules_;
  MadeWorkload made_;  // for tokens_per_rank_
  // The ids of a workload by rules follow from tokens_per_rank, of which a sweep has many:
  // those of others, made when they are first asked for.
  mutable std::map<int64_t, std::unique_ptr<TokenStream>> streams_;
  int ep_size_;
  int ep_rank_;
};

}  // namespace hashep::bench
