// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <random>
#include <vector>

#include "hashep/exchange_plan.hpp"

namespace hashep::test {

/// One layer's routing over all ranks, made up: assignments by rank, and the counts matrix.
struct RandomRouting {
  int ep_size = 1;
  int top_k = 1;
  int64_t num_experts = 1;
  std::vector<std::vector<int32_t>> experts;  // by rank, [tokens, top_k]
  std::vector<CountWord> counts;              // [ep_size, num_experts]

  int64_t tokens(int rank) const {
    return static_cast<int64_t>(experts[static_cast<size_t>(rank)].size()) / top_k;
  }
  ExchangePlan plan(const Placement& placement, int rank) const {
    return make_plan(experts[static_cast<size_t>(rank)], top_k, counts, placement, rank);
  }
  /// All ranks' counts with rows for nodes: [ep_size, num_experts + num_nodes].
  std::vector<CountWord> words(const Placement& placement, const NodeMap& nodes) const {
    std::vector<int32_t> expert_nodes;
    for (const int32_t owner : placement.ranks()) expert_nodes.push_back(nodes.node_of(owner));
    const int64_t stride = num_experts + nodes.num_nodes();
    std::vector<CountWord> all(static_cast<size_t>(ep_size * stride));
    for (int source = 0; source < ep_size; ++source) {
      const auto row = std::span(all).subspan(static_cast<size_t>(source * stride));
      const auto& of_source = experts[static_cast<size_t>(source)];
      count_assignments(of_source, row.first(static_cast<size_t>(num_experts)));
      count_node_rows(
          of_source, top_k, expert_nodes,
          row.subspan(static_cast<size_t>(num_experts), static_cast<size_t>(nodes.num_nodes())));
    }
    return all;
  }
  /// The same plan with its part between nodes.
  ExchangePlan plan(const Placement& placement, int rank, const NodeMap& nodes,
                    bool reduces = false) const {
    const std::vector<CountWord> all = words(placement, nodes);
    const CountMatrix matrix{all, num_experts + nodes.num_nodes()};
    ExchangePlan made;
    made.experts = experts[static_cast<size_t>(rank)];
    made.top_k = top_k;
    complete_plan(matrix, placement, rank, made);
    complete_node_plan(matrix, placement, nodes, reduces, made);
    return made;
  }
};

/// How the experts of a token are drawn.
enum class Skew { uniform, one_expert, padded };

inline RandomRouting random_routing(std::mt19937& random, int ep_size, int64_t num_experts,
                                    int top_k, const std::vector<int64_t>& tokens_by_rank,
                                    Skew skew) {
  RandomRouting routing{ep_size, top_k, num_experts, {}, {}};
  routing.counts.resize(static_cast<size_t>(ep_size * num_experts));
  for (int rank = 0; rank < ep_size; ++rank) {
    std::vector<int32_t> experts;
    for (int64_t token = 0; token < tokens_by_rank[static_cast<size_t>(rank)]; ++token) {
      const auto first = static_cast<int64_t>(
          skew == Skew::one_expert ? 0 : random() % static_cast<uint64_t>(num_experts));
      const bool padding = skew == Skew::padded && random() % 3 == 0;
      for (int j = 0; j < top_k; ++j) {
        experts.push_back(padding ? -1 : static_cast<int32_t>((first + j) % num_experts));
      }
    }
    count_assignments(experts, std::span(routing.counts)
                                   .subspan(static_cast<size_t>(rank * num_experts),
                                            static_cast<size_t>(num_experts)));
    routing.experts.push_back(std::move(experts));
  }
  return routing;
}

}  // namespace hashep::test
