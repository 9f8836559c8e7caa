// SPDX-License-Identifier: Apache-2.0
#include "comm/exchange/outbox_rows.hpp"

namespace hashep {

void OutboxRows::lay_out(const ExchangePlan& plan, ArrayLayout& arrays) {
  const std::vector<NodePlan::Outgoing>& outgoing = plan.across.outgoing;
  int64_t count = 0;
  for (const NodePlan::Outgoing& out : outgoing) count += out.num_rows();
  const auto token_of = arrays.make<int32_t>(count, tokens);
  const auto box_of = arrays.make<int32_t>(count, boxes);
  const auto row_of = arrays.make<int64_t>(count, rows);
  if (!arrays.is_real() || count == 0) return;
  std::vector<size_t> next(outgoing.size());  // the rows of each box that have an entry
  size_t entry = 0;
  for (size_t a = 0; a < plan.experts.size(); ++a) {
    if (plan.experts[a] < 0) continue;
    const int32_t box = plan.across.expert_outgoing[plan.experts[a]];
    if (box < 0) continue;
    const auto token = static_cast<int32_t>(a / static_cast<size_t>(plan.top_k));
    const auto at = static_cast<size_t>(box);
    const std::vector<int32_t>& in_box = outgoing[at].tokens;
    // Where an earlier choice is of the same node, the row has its entry.
    if (next[at] == in_box.size() || in_box[next[at]] != token) continue;
    token_of[entry] = token;
    box_of[entry] = box;
    row_of[entry] = static_cast<int64_t>(next[at]++);
    ++entry;
  }
}

}  // namespace hashep
