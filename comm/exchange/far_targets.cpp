// SPDX-License-Identifier: Apache-2.0
#include "comm/exchange/far_targets.hpp"

#include <algorithm>

namespace hashep {

FarTargets outgoing_targets(const ExchangePlan& plan, size_t index) {
  const NodePlan::Outgoing& out = plan.across.outgoing[index];
  return {out.num_rows(), out.num_returns, plan.top_k};
}

FarTargets incoming_targets(const ExchangePlan& plan, size_t index) {
  const NodePlan::Incoming& in = plan.across.incoming[index];
  return {in.num_rows, in.num_returns, plan.top_k};
}

void fill_far_targets(const ExchangePlan& plan, const NodeMap& nodes, size_t index,
                      std::byte* data) {
  const NodePlan::Outgoing& out = plan.across.outgoing[index];
  const FarTargets targets = outgoing_targets(plan, index);
  const std::span<int64_t> rows = targets.rows(data);
  const std::span<int32_t> owners = targets.owners(data);
  std::fill(rows.begin(), rows.end(), int64_t{-1});
  std::fill(owners.begin(), owners.end(), 0);
  size_t next_return = 0;
  for (size_t row = 0; row < out.tokens.size(); ++row) {
    const auto choices = static_cast<size_t>(plan.top_k);
    const auto first = static_cast<size_t>(out.tokens[row]) * choices;
    for (size_t j = 0; j < choices; ++j) {
      const int32_t expert = plan.experts[first + j];
      if (expert < 0) continue;
      const auto e = static_cast<size_t>(expert);
      if (plan.across.expert_outgoing[e] != static_cast<int32_t>(index)) continue;
      const int32_t owner = nodes.local_index(plan.expert_ranks[e]);
      const int64_t landing =
          plan.landing_rows[e] + plan.send_rows[first + j] - plan.expert_send_rows[e];
      rows[row * choices + j] = landing;
      owners[row * choices + j] = owner;
      targets.return_rows(data)[next_return] = landing;
      targets.return_owners(data)[next_return] = owner;
      ++next_return;
    }
  }
}

}  // namespace hashep
