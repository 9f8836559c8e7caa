// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "benchmarks/workloads/workload_names.hpp"
#include "benchmarks/workloads/workload_rules.hpp"
#include "hashep/batch_plan.hpp"
#include "runtime/tokens/token_stream.hpp"

namespace hashep::bench {

/// What a workload is made from.
struct WorkloadOptions {
  std::string name;  // see parse_workload; empty: uniform, or the token file where there is one
  int64_t num_layers = 1;
  int64_t num_experts = 16;
  int64_t top_k = 1;
  int64_t vocab_size = 32768;
  TokenFile tokens = {};
  std::string router = {};  // token, position, previous, bigram, table or balanced; empty: table
                            // where there is a table file, else token
  std::string table = {};   // tid2eid file
  int64_t seed = 1;         // of ids and of routers; at least 1
};

/// Which workload it is. Throws InputError where the options do not go together, which they tell
/// without a file being read.
WorkloadKind workload_kind(const WorkloadOptions& options);

/// Token ids and their static routing in all layers: all that a plan, or a dry run, follows from.
struct MadeWorkload {
  std::string name;         // see workload_name
  std::string router_name;  // token, position ... table
  std::unique_ptr<TokenStream> stream;
  int64_t seq_len = 1;
  std::unique_ptr<Router> router;
  StackGeometry geometry;
};

/// The rules of a workload that has them. Throws InputError.
WorkloadRules workload_rules(const WorkloadOptions& options, int ep_size, int64_t tokens_per_rank);

/// Makes a workload for the ranks of `nodes`, which hold tokens_per_rank tokens each in a batch.
/// `placement` of experts: contiguous, balanced by the ids' counts, or a placement file. Local; the
/// same on all ranks. No MPI. Throws InputError on bad options or files.
MadeWorkload make_workload(const WorkloadOptions& options, const NodeMap& nodes,
                           int64_t tokens_per_rank, const std::string& placement = "contiguous");

}  // namespace hashep::bench
