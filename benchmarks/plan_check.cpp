// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/plan_check.hpp"

#include <algorithm>
#include <tuple>
#include <vector>

namespace hashep::bench {
namespace {

/// Assignments whose row is not where the order (owner, expert, assignment) puts it.
int64_t wrong_send_rows(const ExchangePlan& plan, const Placement& placement) {
  std::vector<int64_t> assignment_of(plan.total_send(), -1);
  for (size_t a = 0; a < plan.experts.size(); ++a) {
    if (plan.experts[a] < 0) continue;
    assignment_of[plan.send_rows[a]] = static_cast<int64_t>(a);
  }
  const auto key = [&](int64_t assignment) {
    const int32_t expert = plan.experts[assignment];
    return std::tuple(placement.rank_of(expert), expert, assignment);
  };
  int64_t wrong = std::count(assignment_of.begin(), assignment_of.end(), -1);
  if (wrong > 0) return wrong;
  for (size_t row = 1; row < assignment_of.size(); ++row) {
    wrong += key(assignment_of[row - 1]) < key(assignment_of[row]) ? 0 : 1;
  }
  return wrong;
}

/// Rows of `source` for experts [0, num_experts) that `owner` owns and that come before `expert`.
int64_t rows_before(const CountMatrix& counts, const Placement& placement, int source,
                    int64_t expert) {
  int64_t rows = 0;
  for (const int32_t other : placement.local_experts(placement.rank_of(expert))) {
    if (other < expert) rows += counts(source, other);
  }
  return rows;
}

}  // namespace

int64_t wrong_in_plan(const ExchangePlan& plan, const CountMatrix& counts,
                      const Placement& placement) {
  int64_t wrong = wrong_send_rows(plan, placement);
  const auto expect = [&wrong](int64_t value, int64_t want) { wrong += value == want ? 0 : 1; };
  std::vector<int64_t> rank_rows(plan.ep_size);
  std::vector<int64_t> recv_counts(plan.ep_size);
  for (int64_t expert = 0; expert < plan.num_experts; ++expert) {
    const int owner = placement.rank_of(expert);
    int64_t landing = 0;
    for (int source = 0; source < plan.ep_size; ++source) {
      const int64_t rows = counts(source, expert);
      rank_rows[owner] += rows;
      if (owner == plan.ep_rank) recv_counts[source] += rows;
      landing +=
          rows_before(counts, placement, source, expert) + (source < plan.ep_rank ? rows : 0);
    }
    expect(plan.landing_rows[expert], landing);
  }
  for (size_t rank = 0; rank < rank_rows.size(); ++rank) {
    expect(plan.rank_rows[rank], rank_rows[rank]);
    expect(plan.recv_counts[rank], recv_counts[rank]);
  }
  const auto own = placement.local_experts(plan.ep_rank);
  int64_t offset = 0;
  for (size_t i = 0; i < own.size(); ++i) {
    expect(plan.local_experts[i], own[i]);
    expect(plan.expert_offsets[i], offset);
    for (int source = 0; source < plan.ep_size; ++source) offset += counts(source, own[i]);
  }
  expect(plan.total_recv(), offset);
  return wrong;
}

}  // namespace hashep::bench
