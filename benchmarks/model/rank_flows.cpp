// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/model/rank_flows.hpp"

#include <algorithm>

namespace hashep::bench {
namespace {

constexpr int64_t RankFlows::*kSums[] = {
    &RankFlows::tokens,       &RankFlows::own,          &RankFlows::near_out,
    &RankFlows::near_in,      &RankFlows::far_out,      &RankFlows::far_in,
    &RankFlows::far_out_once, &RankFlows::taken_in,     &RankFlows::forward_own,
    &RankFlows::forward_near, &RankFlows::forwarded_to, &RankFlows::near_peers,
    &RankFlows::far_peers,    &RankFlows::far_nodes};

}  // namespace

FlowCounter::FlowCounter(const Placement& placement, const NodeMap& nodes)
    : placement_(placement),
      nodes_(nodes),
      flows_{std::vector<RankFlows>(static_cast<size_t>(placement.ep_size())),
             std::vector<int64_t>(static_cast<size_t>(placement.num_experts()))},
      rank_rows_(static_cast<size_t>(placement.ep_size())) {}

void FlowCounter::add(int source, int64_t tokens, std::span<const CountWord> counts) {
  const auto num_experts = static_cast<size_t>(placement_.num_experts());
  std::fill(rank_rows_.begin(), rank_rows_.end(), 0);
  for (size_t expert = 0; expert < num_experts; ++expert) {
    flows_.expert_rows[expert] += counts[expert];
    rank_rows_[static_cast<size_t>(placement_.rank_of(static_cast<int64_t>(expert)))] +=
        counts[expert];
  }
  RankFlows& own = rank(source);
  own.tokens += tokens;
  const int32_t own_node = nodes_.node_of(source);
  for (int32_t owner = 0; owner < placement_.ep_size(); ++owner) {
    const int64_t rows = rank_rows_[static_cast<size_t>(owner)];
    if (rows == 0) continue;
    const int32_t node = nodes_.node_of(owner);
    if (owner == source) {
      own.own += rows;
    } else if (node == own_node) {
      own.near_out += rows;
      ++own.near_peers;
      rank(owner).near_in += rows;
    } else {
      own.far_out += rows;
      ++own.far_peers;
      rank(owner).far_in += rows;
      const int32_t taker = nodes_.peer_of(source, node);
      (taker == owner ? rank(taker).forward_own : rank(taker).forward_near) += rows;
      if (taker != owner) rank(owner).forwarded_to += rows;
    }
  }
  for (size_t word = num_experts; word < counts.size(); ++word) {
    const auto node = static_cast<int32_t>(word - num_experts);
    if (node == own_node || counts[word] == 0) continue;
    own.far_out_once += counts[word];
    ++own.far_nodes;
    rank(nodes_.peer_of(source, node)).taken_in += counts[word];
  }
}

void FlowCounter::merge(const FlowCounter& other) {
  for (size_t i = 0; i < flows_.ranks.size(); ++i) {
    for (const auto sum : kSums) flows_.ranks[i].*sum += other.flows_.ranks[i].*sum;
  }
  for (size_t i = 0; i < flows_.expert_rows.size(); ++i) {
    flows_.expert_rows[i] += other.flows_.expert_rows[i];
  }
}

}  // namespace hashep::bench
