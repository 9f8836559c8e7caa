// SPDX-License-Identifier: Apache-2.0
#include "hashep/batch_plan.hpp"

#include <xxhash.h>

#include <algorithm>
#include <numeric>
#include <string>

#include "hashep/error.hpp"
#include "runtime/routing/route_checks.hpp"

namespace hashep {
namespace {

uint64_t digest(const GatheredCounts& counts, int ranks, int64_t words) {
  uint64_t value = 0;
  for (int rank = 0; rank < ranks; ++rank) {
    const auto of_rank = counts.words.subspan(rank * counts.row_stride + counts.first, words);
    value = XXH64(of_rank.data(), of_rank.size_bytes(), value);
  }
  return value;
}

void mark_padding(std::span<const int32_t> ids, std::vector<uint8_t>& is_padding) {
  is_padding.clear();
  if (std::ranges::find(ids, kPaddingId) == ids.end()) return;
  is_padding.resize(ids.size());
  std::ranges::transform(ids, is_padding.begin(),
                         [](int32_t id) { return static_cast<uint8_t>(id == kPaddingId ? 1 : 0); });
}

/// What a router would refuse whatever its vocabulary.
void require_ids(std::span<const int32_t> ids) {
  const auto bad = std::ranges::find_if(ids, [](int32_t id) { return id < kPaddingId; });
  if (bad == ids.end()) return;
  throw InputError("token " + std::to_string(bad - ids.begin()) + " has id " +
                   std::to_string(*bad) + ", below -1");
}

CountMatrix layer_counts(const StackGeometry& geometry, const GatheredCounts& counts,
                         int64_t layer) {
  const int64_t words = (geometry.ep_size() - 1) * counts.row_stride + geometry.layer_words();
  return {counts.words.subspan(counts.first + geometry.layer_begin(layer), words),
          counts.row_stride};
}

void count_all_ranks(const CountMatrix& matrix, int ep_size, std::span<int64_t> expert_counts) {
  std::ranges::fill(expert_counts, 0);
  for (int source = 0; source < ep_size; ++source) {
    for (size_t expert = 0; expert < expert_counts.size(); ++expert) {
      expert_counts[expert] += matrix(source, static_cast<int64_t>(expert));
    }
  }
}

}  // namespace

std::span<int32_t> assignments(const StackGeometry& geometry, int64_t layer, int64_t tokens,
                               BatchPlan& plan) {
  plan.layers.resize(geometry.num_layers());
  ExchangePlan& layer_plan = plan.layers[layer];
  layer_plan.top_k = geometry.top_k();
  layer_plan.tokens = tokens;
  layer_plan.experts.resize(tokens * geometry.top_k());
  return layer_plan.experts;
}

void route_layer(const StackGeometry& geometry, const Router& router, const TokenBatch& batch,
                 int64_t layer, BatchPlan& plan) {
  const std::span<int32_t> experts = assignments(geometry, layer, std::ssize(batch.ids), plan);
  if (geometry.num_experts() > 0) route_checked(router, batch, geometry.layer(layer), experts);
}

void count_layer(const StackGeometry& geometry, int64_t layer, const BatchPlan& plan,
                 std::span<CountWord> words) {
  const ExchangePlan& layer_plan = plan.layers[layer];
  const auto num_experts = static_cast<size_t>(geometry.num_experts());
  count_assignments(layer_plan.experts, words.first(num_experts));
  if (geometry.counted_nodes() == 0) return;
  count_node_rows(layer_plan.experts, layer_plan.top_k, geometry.expert_nodes(layer),
                  words.subspan(num_experts));
}

void route_batch(const StackGeometry& geometry, const Router& router, const TokenBatch& batch,
                 BatchPlan& plan, std::span<CountWord> words) {
  require_valid(batch);
  plan.tokens = std::ssize(batch.ids);
  mark_padding(batch.ids, plan.is_padding);
  words[0] = count_word(plan.tokens, "tokens of a rank");
  if (geometry.num_experts() == 0 || geometry.num_layers_ahead() == 0) require_ids(batch.ids);
  plan.layers.resize(geometry.num_layers());
  for (int64_t layer = geometry.num_layers_ahead(); layer < geometry.num_layers(); ++layer) {
    plan.layers[layer].recv_displs.clear();  // not planned
  }
  for (int64_t layer = 0; layer < geometry.num_layers_ahead(); ++layer) {
    route_layer(geometry, router, batch, layer, plan);
    count_layer(geometry, layer, plan,
                words.subspan(geometry.layer_begin(layer), geometry.layer_words()));
  }
}

void place_batch(const GatheredCounts& counts, int ep_size, int ep_rank, BatchPlan& plan) {
  plan.global_tokens = 0;
  plan.token_granule = 0;
  for (int rank = 0; rank < ep_size; ++rank) {
    const int64_t tokens = counts.words[rank * counts.row_stride + counts.first];
    if (rank == ep_rank) plan.first_token = plan.global_tokens;
    if (tokens > 0) plan.token_granule = std::gcd(plan.token_granule, plan.global_tokens);
    plan.global_tokens += tokens;
  }
}

void complete_layer(const StackGeometry& geometry, int64_t layer, const CountMatrix& counts,
                    int ep_rank, BatchPlan& plan) {
  const Placement& placement = geometry.placement(layer);
  ExchangePlan& layer_plan = plan.layers[layer];
  complete_plan(counts, placement, ep_rank, layer_plan);
  const auto num_experts = static_cast<size_t>(geometry.num_experts());
  plan.expert_counts.resize(static_cast<size_t>(geometry.num_layers()) * num_experts);
  count_all_ranks(
      counts, geometry.ep_size(),
      std::span(plan.expert_counts).subspan(static_cast<size_t>(layer) * num_experts, num_experts));
  if (geometry.nodes() && num_experts > 0) {
    complete_node_plan(counts, placement, *geometry.nodes(), geometry.node_reduce(), layer_plan);
  }
}

void complete_batch(const StackGeometry& geometry, const GatheredCounts& counts, int ep_rank,
                    BatchPlan& plan) {
  place_batch(counts, geometry.ep_size(), ep_rank, plan);
  plan.counts_digest = digest(counts, geometry.ep_size(), geometry.batch_words());
  plan.expert_counts.assign(static_cast<size_t>(geometry.num_layers() * geometry.num_experts()), 0);
  for (int64_t layer = 0; layer < geometry.num_layers_ahead(); ++layer) {
    complete_layer(geometry, layer, layer_counts(geometry, counts, layer), ep_rank, plan);
  }
}

BatchPlan plan_batch(const StackGeometry& geometry, const Router& router,
                     std::span<const TokenBatch> batches_by_rank, int ep_rank) {
  const auto words = static_cast<size_t>(geometry.batch_words());
  if (std::ssize(batches_by_rank) != geometry.ep_size()) {
    throw InputError("batches of " + std::to_string(batches_by_rank.size()) + " ranks for " +
                     std::to_string(geometry.ep_size()));
  }
  std::vector<CountWord> counts(batches_by_rank.size() * words);
  BatchPlan plan;
  BatchPlan other;
  for (size_t rank = 0; rank < batches_by_rank.size(); ++rank) {
    route_batch(geometry, router, batches_by_rank[rank],
                static_cast<int>(rank) == ep_rank ? plan : other,
                std::span(counts).subspan(rank * words, words));
  }
  complete_batch(geometry, {.words = counts, .row_stride = geometry.batch_words()}, ep_rank, plan);
  return plan;
}

}  // namespace hashep
