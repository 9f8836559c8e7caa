// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/workload.hpp"

#include <optional>

#include "core/error.hpp"
#include "runtime/exec/stack_routing.hpp"

namespace hashep::bench {
namespace {

constexpr int64_t kMaxBatchRows = int64_t{1} << 36;  // of all ranks
constexpr int64_t kComparedIds = int64_t{1} << 16;   // of an endless stream

}  // namespace

Workload::Workload(const RankOptions& options, const NodeMap& nodes, int ep_rank)
    : made_(make_workload(workload_options(options), nodes, options.tokens_per_rank)),
      ep_size_(nodes.ep_size()),
      ep_rank_(ep_rank) {
  if (options.placement == "contiguous") return;  // as it was made
  made_.routing.placements =
      make_placements(parse_placement(options.placement), made_.routing.routers, *made_.stream,
                      made_.seq_len, nodes);
}

std::vector<Setting> Workload::settings() const {
  const TokenStream& stream = *made_.stream;
  const std::optional<int64_t> size = stream.size();
  return {
      {"the length of the token file", std::to_string(size.value_or(-1)) + " tokens"},
      {"the token ids", "digest " + std::to_string(id_digest(stream, size.value_or(kComparedIds)))},
      {"the routing tables", "digest " + std::to_string(table_digest(made_.routing.routers))},
      {"the placements", "digest " + std::to_string(placement_digest(made_.routing.placements))}};
}

BatchSplit Workload::split(int64_t tokens_per_rank) const {
  const int64_t top_k = made_.routing.routers.front()->top_k();
  if (tokens_per_rank > kMaxBatchRows / ep_size_ / top_k) {
    throw InputError("--tokens-per-rank " + std::to_string(tokens_per_rank) + " on " +
                     std::to_string(ep_size_) + " ranks with --top-k " + std::to_string(top_k) +
                     ": a batch has at most " + std::to_string(kMaxBatchRows) + " rows");
  }
  return {.batch_tokens = tokens_per_rank * ep_size_,
          .seq_len = made_.seq_len,
          .ep_size = ep_size_,
          .ep_rank = ep_rank_};
}

PlanPipeline Workload::pipeline(const BatchSplit& split, const Communicator& comm,
                                Watch& watch) const {
  return {made_.routing, *made_.stream, split, {.planning = Planning::exchange}, &comm, &watch};
}

BatchPlan Workload::plan(const BatchSplit& split, const Communicator& comm, Watch& watch) const {
  PlanPipeline planning = pipeline(split, comm, watch);
  PhaseLog log(&watch, 1, false);
  planning.start(0, log);
  return planning.finish(log);
}

std::vector<int32_t> Workload::all_experts(const BatchSplit& split) const {
  TokenBatch batch;
  read_batch(*made_.stream, {.batch_tokens = split.batch_tokens, .seq_len = split.seq_len}, 0,
             batch);
  const Router& router = *made_.routing.routers.front();
  std::vector<int32_t> experts(batch.ids.size() * static_cast<size_t>(router.top_k()));
  router.route(batch, experts);
  return experts;
}

}  // namespace hashep::bench
