// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/plan_case.hpp"

#include <algorithm>

#include "benchmarks/plan_check.hpp"
#include "comm/plan/plan_stats.hpp"
#include "hashep/table_router.hpp"
#include "runtime/layer/make_router.hpp"
#include "runtime/routing/table_builder.hpp"

namespace hashep::bench {
namespace {

constexpr uint64_t kSeed = 1;
constexpr int64_t kSeqLen = 4096;

std::unique_ptr<Router> open_router(const PlanCaseOptions& options, const TokenStream& stream) {
  const RouterKind kind = parse_router(options.router);
  if (kind == RouterKind::table) {
    std::vector<RoutingTable> tables = {
        build_random_table(options.vocab_size, options.num_experts, options.top_k, kSeed)};
    return std::make_unique<TableRouter>(std::move(tables), options.num_experts);
  }
  ModelConfig config;
  config.num_layers = 1;
  config.num_experts = options.num_experts;
  config.top_k = options.top_k;
  config.vocab_size = options.vocab_size;
  RoutingSource source;
  source.kind = kind;
  source.seed = kSeed;
  return make_router(config, source, stream);
}

}  // namespace

PlanCase::PlanCase(const PlanCaseOptions& options)
    : geometry_({contiguous_placement(options.num_experts, options.ep_size)}, options.top_k),
      counts_(options.ep_size * options.num_experts) {
  const auto stream = make_zipf_stream(options.vocab_size, 1.0, kSeed);
  router_ = open_router(options, *stream);
  read_batch(*stream, {.batch_tokens = options.tokens, .seq_len = kSeqLen}, 0, batch_);
  plan_.top_k = options.top_k;
  plan_.experts.resize(batch_.ids.size() * static_cast<size_t>(options.top_k));
  route();
  const auto own = std::span(counts_).first(options.num_experts);
  count_assignments(plan_.experts, own);
  for (int rank = 1; rank < options.ep_size; ++rank) {
    std::copy(own.begin(), own.end(), counts_.begin() + rank * options.num_experts);
  }
  plan();
}

void PlanCase::plan() {
  const auto own = std::span(counts_).first(geometry_.num_experts());
  count_assignments(plan_.experts, own);
  complete_plan(counts(), geometry_.placement(0), 0, plan_);
}

int64_t PlanCase::wrong() const {
  return wrong_in_plan(plan_, counts(), geometry_.placement(0));
}

int64_t PlanCase::bytes() const {
  return plan_bytes(plan_);
}

}  // namespace hashep::bench
