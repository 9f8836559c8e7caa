// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/workload.hpp"

#include <algorithm>
#include <optional>

#include "benchmarks/workloads/workload_counts.hpp"
#include "benchmarks/workloads/workload_stream.hpp"
#include "hashep/error.hpp"
#include "runtime/layer/make_router.hpp"
#include "runtime/layer/stack_placements.hpp"

namespace hashep::bench {
namespace {

constexpr int64_t kMaxBatchRows = int64_t{1} << 36;  // of all ranks
constexpr int64_t kComparedIds = int64_t{1} << 16;   // of an endless stream

/// What is measured is the traffic that the workload is named for, or nothing is.
void require_expected(const WorkloadRules& rules, const BatchPlan& plan) {
  const auto num_experts = static_cast<size_t>(rules.shape().num_experts);
  for (size_t layer = 0; layer < plan.layers.size(); ++layer) {
    std::vector<int64_t> left(num_experts);
    std::copy_n(plan.expert_counts.begin() + static_cast<std::ptrdiff_t>(layer * num_experts),
                num_experts, left.begin());
    for (int rank = 0; rank < rules.shape().ep_size; ++rank) {
      const auto counts = expected_counts(rules, plan.step, rank, static_cast<int64_t>(layer));
      for (size_t expert = 0; expert < num_experts; ++expert) left[expert] -= counts[expert];
    }
    if (std::any_of(left.begin(), left.end(), [](int64_t rows) { return rows != 0; })) {
      throw RunError("layer " + std::to_string(layer) + ": experts do not get what --workload " +
                     workload_name(rules.shape().kind) + " deals to them");
    }
  }
}

}  // namespace

Workload::Workload(const RankOptions& options, const NodeMap& nodes, int ep_rank)
    : options_(workload_options(options)),
      tokens_per_rank_(options.tokens_per_rank),
      has_rules_(has_rules(workload_kind(options_))),
      made_(make_workload(options_, nodes, options.tokens_per_rank, options.placement)),
      ep_size_(nodes.ep_size()),
      ep_rank_(ep_rank) {}

std::vector<Setting> Workload::settings() const {
  const TokenStream& stream = *made_.stream;
  const std::optional<int64_t> size = stream.size();
  return {
      {"the length of the token file", std::to_string(size.value_or(-1)) + " tokens"},
      {"the token ids", "digest " + std::to_string(id_digest(stream, size.value_or(kComparedIds)))},
      {"the routing tables", "digest " + std::to_string(made_.router->digest())},
      {"the placements", "digest " + std::to_string(placement_digest(placements()))}};
}

BatchSplit Workload::split(int64_t tokens_per_rank) const {
  const int64_t top_k = made_.geometry.top_k();
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

const TokenStream& Workload::ids(const BatchSplit& split) const {
  const int64_t tokens_per_rank = split.batch_tokens / split.ep_size;
  if (!has_rules_ || tokens_per_rank == tokens_per_rank_) return *made_.stream;
  std::unique_ptr<TokenStream>& stream = streams_[tokens_per_rank];
  if (!stream) stream = make_workload_stream(workload_rules(options_, ep_size_, tokens_per_rank));
  return *stream;
}

StreamPlanner Workload::planner(const BatchSplit& split, const Communicator& comm, Watch& watch,
                                PhaseLog& log) const {
  return {geometry(), router(), ids(split), split, {.planning = Planning::exchange},
          &comm,      &watch,   log};
}

BatchPlan Workload::plan(const BatchSplit& split, const Communicator& comm, Watch& watch) const {
  PhaseLog log(&watch, 1, false);
  StreamPlanner planning = planner(split, comm, watch, log);
  planning.begin();
  BatchPlan plan = planning.take();
  if (has_rules_)
    require_expected(workload_rules(options_, ep_size_, plan.global_tokens / ep_size_), plan);
  return plan;
}

std::vector<int32_t> Workload::all_experts(const BatchSplit& split) const {
  StreamBatch batch;
  read_batch(ids(split), {.batch_tokens = split.batch_tokens, .seq_len = split.seq_len}, 0, batch);
  std::vector<int32_t> experts(batch.ids.size() * static_cast<size_t>(geometry().top_k()));
  router().route(batch.view(), geometry().layer(0), experts);
  return experts;
}

}  // namespace hashep::bench
