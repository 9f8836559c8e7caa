// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/sim/sim_case.hpp"

#include <span>

#include "hashep/hash_router.hpp"
#include "hashep/placement.hpp"
#include "runtime/tokens/token_stream.hpp"

namespace hashep::bench {
namespace {

std::vector<int32_t> route_all(const SimOptions& options, int ep_size) {
  const auto tokens = static_cast<size_t>(options.tokens_per_rank * ep_size);
  TokenBatch batch;
  batch.ids.resize(tokens);
  const auto seed = static_cast<uint64_t>(options.seed);
  make_zipf_stream(options.vocab_size, 0.0, seed)->read(0, batch.ids);
  const HashRouter router({.seed = seed,
                           .num_experts = options.num_experts,
                           .top_k = static_cast<int>(options.top_k),
                           .vocab_size = options.vocab_size});
  std::vector<int32_t> experts(tokens * static_cast<size_t>(options.top_k));
  router.route(batch, experts);
  return experts;
}

}  // namespace

SimCase make_sim_case(const SimOptions& options, int ep_size, int ep_rank) {
  SimCase made{
      nodes_of_equal_size(ep_size, options.ranks_per_node), route_all(options, ep_size), {}, {}};
  const Placement placement = contiguous_placement(options.num_experts, ep_size);
  std::vector<int32_t> expert_nodes;
  for (const int32_t owner : placement.ranks()) expert_nodes.push_back(made.nodes.node_of(owner));

  const int64_t words = options.num_experts + made.nodes.num_nodes();
  const int64_t assignments = options.tokens_per_rank * options.top_k;
  const int top_k = static_cast<int>(options.top_k);
  std::vector<CountWord> counts(static_cast<size_t>(ep_size * words));
  const auto experts_of = [&](int rank) {
    return std::span(made.experts)
        .subspan(static_cast<size_t>(rank * assignments), static_cast<size_t>(assignments));
  };
  for (int rank = 0; rank < ep_size; ++rank) {
    const auto of_rank =
        std::span(counts).subspan(static_cast<size_t>(rank * words), static_cast<size_t>(words));
    const auto num_experts = static_cast<size_t>(options.num_experts);
    count_assignments(experts_of(rank), of_rank.first(num_experts));
    count_node_rows(experts_of(rank), top_k, expert_nodes, of_rank.subspan(num_experts));
  }
  const CountMatrix matrix{counts, words};
  made.plan.experts.assign(experts_of(ep_rank).begin(), experts_of(ep_rank).end());
  made.plan.top_k = top_k;
  complete_plan(matrix, placement, ep_rank, made.plan);
  if (made.nodes.num_nodes() > 1) {
    complete_node_plan(matrix, placement, made.nodes, false, made.plan);
  }
  made.traffic = layer_traffic(matrix, placement, made.nodes);
  return made;
}

}  // namespace hashep::bench
