// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/model/group_routing.hpp"

#include <algorithm>
#include <numeric>

#include "core/random.hpp"

namespace hashep::bench {
namespace {

/// Moves the `count` indices of largest score to the front, in falling order.
template <typename Score>
void take_largest(std::vector<int32_t>& indices, int64_t count, const Score& score) {
  std::partial_sort(indices.begin(), indices.begin() + count, indices.end(),
                    [&](int32_t a, int32_t b) { return score(a) > score(b); });
}

}  // namespace

void route_by_groups(const GroupRouting& routing, int64_t first, std::span<int32_t> experts) {
  const int64_t per_group = routing.num_experts / routing.num_groups;
  std::vector<uint64_t> scores(routing.num_experts);
  std::vector<uint64_t> best(routing.num_groups);
  std::vector<int32_t> groups(best.size());
  std::vector<int32_t> candidates;
  const auto top_k = static_cast<size_t>(routing.top_k);
  for (size_t token = 0; token * top_k < experts.size(); ++token) {
    const auto index = static_cast<uint64_t>(first) + token;
    for (size_t expert = 0; expert < scores.size(); ++expert) {
      scores[expert] = random_bits(routing.seed, index * scores.size() + expert);
    }
    for (size_t group = 0; group < best.size(); ++group) {
      const auto begin = scores.begin() + static_cast<int64_t>(group) * per_group;
      best[group] = *std::max_element(begin, begin + per_group);
    }
    std::iota(groups.begin(), groups.end(), 0);
    take_largest(groups, routing.top_groups, [&](int32_t group) { return best[group]; });
    candidates.clear();
    for (int64_t chosen = 0; chosen < routing.top_groups; ++chosen) {
      const int64_t begin = groups[chosen] * per_group;
      for (int64_t expert = begin; expert < begin + per_group; ++expert) {
        candidates.push_back(static_cast<int32_t>(expert));
      }
    }
    take_largest(candidates, routing.top_k, [&](int32_t expert) { return scores[expert]; });
    std::copy_n(candidates.begin(), top_k, experts.begin() + static_cast<int64_t>(token * top_k));
  }
}

}  // namespace hashep::bench
