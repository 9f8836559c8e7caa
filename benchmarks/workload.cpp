// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/workload.hpp"

#include <algorithm>

#include "core/error.hpp"
#include "core/narrow.hpp"
#include "runtime/exec/stack_routing.hpp"

namespace hashep::bench {
namespace {

constexpr uint64_t kSeed = 1;
constexpr int64_t kDefaultSeqLen = 1024;             // tokens; the hash of an id does not see it
constexpr int64_t kMaxBatchRows = int64_t{1} << 36;  // of all ranks

std::unique_ptr<TokenStream> open_stream(const RankOptions& options) {
  if (!options.tokens.path.empty()) return open_token_file(options.tokens);
  return make_zipf_stream(options.vocab_size, options.workload == "zipf" ? 1.0 : 0.0, kSeed);
}

}  // namespace

Workload::Workload(const RankOptions& options, const NodeMap& nodes, int ep_rank)
    : name_(options.tokens.path.empty() ? options.workload : "tokens"),
      ep_size_(nodes.ep_size()),
      ep_rank_(ep_rank),
      stream_(open_stream(options)) {
  seq_len_ = stream_->natural_seq_len().value_or(kDefaultSeqLen);
  ModelConfig config;
  config.num_layers = 1;
  config.num_experts = options.num_experts;
  config.top_k = narrow<int>(options.top_k, "--top-k");
  config.vocab_size = options.vocab_size;
  RoutingSource source;
  source.kind = RouterKind::token;
  source.seed = kSeed;
  routing_.routers = make_routers(config, source, *stream_);
  routing_.placements =
      make_placements(PlacementKind::contiguous, routing_.routers, *stream_, seq_len_, ep_size_);
  routing_.nodes = nodes;
}

std::vector<Setting> Workload::settings() const {
  const int64_t size = stream_->size().value_or(-1);
  const uint64_t digest = size < 0 ? 0 : id_digest(*stream_, size);
  return {{"the length of the token file", std::to_string(size) + " tokens"},
          {"the token ids", "digest " + std::to_string(digest)}};
}

BatchSplit Workload::split(int64_t tokens_per_rank) const {
  const int64_t top_k = routing_.routers.front()->top_k();
  if (tokens_per_rank > kMaxBatchRows / ep_size_ / top_k) {
    throw InputError("--tokens-per-rank " + std::to_string(tokens_per_rank) + " on " +
                     std::to_string(ep_size_) + " ranks with --top-k " + std::to_string(top_k) +
                     ": a batch has at most " + std::to_string(kMaxBatchRows) + " rows");
  }
  return {.batch_tokens = tokens_per_rank * ep_size_,
          .seq_len = seq_len_,
          .ep_size = ep_size_,
          .ep_rank = ep_rank_};
}

PlanPipeline Workload::pipeline(const BatchSplit& split, const Communicator& comm,
                                Watch& watch) const {
  return {routing_, *stream_, split, {.planning = Planning::exchange}, &comm, &watch};
}

BatchPlan Workload::plan(const BatchSplit& split, const Communicator& comm, Watch& watch) const {
  PlanPipeline planning = pipeline(split, comm, watch);
  PhaseLog log(&watch, 1, false);
  planning.start(0, log);
  return planning.finish(log);
}

std::vector<int32_t> Workload::all_experts(const BatchSplit& split) const {
  TokenBatch batch;
  read_batch(*stream_, {.batch_tokens = split.batch_tokens, .seq_len = split.seq_len}, 0, batch);
  const Router& router = *routing_.routers.front();
  std::vector<int32_t> experts(batch.ids.size() * static_cast<size_t>(router.top_k()));
  router.route(batch, experts);
  return experts;
}

}  // namespace hashep::bench
