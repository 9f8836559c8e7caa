// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace hashep::bench {

/// A learned gate without anything learnt: random scores, of which a token takes the top_k largest
/// among the top_groups groups that have the largest best score (DeepSeek-V3, arXiv 2412.19437,
/// section 2.1.2; DeepEP's tests/test_internode.py). Groups are equal ranges of experts.
struct GroupRouting {
  int64_t num_experts = 0;
  int64_t top_k = 1;
  int64_t num_groups = 1;
  int64_t top_groups = 1;  // = num_groups: no limit
  uint64_t seed = 1;
};

/// experts: [tokens, top_k], of tokens [first, first + tokens), in falling order of score.
void route_by_groups(const GroupRouting& routing, int64_t first, std::span<int32_t> experts);

}  // namespace hashep::bench
