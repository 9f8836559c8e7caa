// SPDX-License-Identifier: Apache-2.0
#include "tests/support/transport_cases.hpp"

#include "comm/plan/plan_stats.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/exchange_check.hpp"

namespace hashep::test {

Moved check_random_exchanges(Ranks& ranks, Transport& transport, const NodeMap* nodes,
                             bool reduces) {
  std::mt19937 random(17);  // the same cases on all ranks
  Moved moved;
  for (int round = 0; round < 60; ++round) {
    const int ep_size = ranks.comm.size();
    const auto num_experts = static_cast<int64_t>(1 + random() % 12);
    const int top_k = static_cast<int>(1 + random() % std::min<uint64_t>(6, num_experts));
    std::vector<int64_t> tokens;
    for (int rank = 0; rank < ep_size; ++rank) {
      tokens.push_back(random() % 4 == 0 ? 0 : static_cast<int64_t>(random() % 70));
    }
    const auto routing =
        random_routing(random, ep_size, num_experts, top_k, tokens, static_cast<Skew>(round % 3));
    const Placement placement = contiguous_placement(num_experts, ep_size);
    const DType dtype = reduces || round % 2 == 0 ? DType::f32 : DType::bf16;
    const int64_t hidden_size = round % 5 == 0 ? 64 : 7;
    const int rank = ranks.comm.rank();
    const ExchangePlan plan = nodes == nullptr ? routing.plan(placement, rank)
                                               : routing.plan(placement, rank, *nodes, reduces);
    const auto errors = check_exchange(transport, routing, plan, dtype, hidden_size);
    CHECK(errors.dispatch == 0);
    CHECK(errors.combine == 0);
    moved.rows += plan.total_recv();
    moved.rows_off_rank += rows_received_off_rank(plan);
    for (const NodePlan::Outgoing& out : plan.across.outgoing) {
      moved.rows_off_node += out.num_rows();
      moved.routes_off_node += out.num_routes();
    }
  }
  return moved;
}

}  // namespace hashep::test
