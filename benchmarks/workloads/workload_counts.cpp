// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/workloads/workload_counts.hpp"

namespace hashep::bench {
namespace {

/// How many of the places x, x + circle, x + 2 * circle ... lie before `end`.
int64_t places_before(int64_t end, int64_t x, int64_t circle) {
  return (end + circle - 1 - x) / circle;
}

}  // namespace

std::vector<int64_t> expected_counts(const WorkloadRules& rules, int64_t step, int rank,
                                     int64_t layer) {
  const std::vector<ExpertClass> classes = rules.classes(layer);
  const auto parts = rules.parts(step, rank);
  std::vector<int64_t> counts(rules.shape().num_experts);
  for (size_t p = 0; p < parts.size(); ++p) {
    const TokenPart& part = parts[p];
    const ExpertClass& experts = classes[part.expert_class];
    for (const int32_t expert : experts.fixed) counts[expert] += part.tokens;
    const auto circle = static_cast<int64_t>(experts.circle.size());
    const int64_t width = rules.shape().top_k - static_cast<int64_t>(experts.fixed.size());
    // Places [begin, end) of the endless circle are given out here, if in turn.
    int64_t begin = 0;
    for (int lower = 0; lower < rank; ++lower) begin += rules.parts(step, lower)[p].tokens * width;
    const int64_t end = begin + part.tokens * width;
    for (int64_t x = 0; x < circle; ++x) {
      int64_t& count = counts[experts.circle[x]];
      if (part.pinned == TokenPart::kInTurn) {
        count += places_before(end, x, circle) - places_before(begin, x, circle);
      } else if ((x - part.pinned + circle) % circle < width) {
        count += part.tokens;
      }
    }
  }
  return counts;
}

}  // namespace hashep::bench
