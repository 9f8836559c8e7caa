// SPDX-License-Identifier: Apache-2.0
#include "tests/support/transport_cases.hpp"

#include "comm/plan/plan_stats.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/exchange_check.hpp"

namespace hashep::test {
namespace {

constexpr int kGaveUpTag = 77;  // of a message that says that its rank waits no longer

}  // namespace

Moved check_random_exchanges(Ranks& ranks, ExchangeDriver& driver, const RandomExchanges& of) {
  std::mt19937 random(17);  // the same cases on all ranks
  Moved moved;
  for (int round = 0; round < of.rounds; ++round) {
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
    const DType dtype = of.reduces || round % 2 == 0 ? DType::f32 : DType::bf16;
    const int64_t hidden_size = round % 5 == 0 ? 64 : 7;
    const int rank = ranks.comm.rank();
    const ExchangePlan plan = of.nodes == nullptr
                                  ? routing.plan(placement, rank)
                                  : routing.plan(placement, rank, *of.nodes, of.reduces);
    const auto errors = check_exchange(driver, routing, plan, dtype, hidden_size);
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

void check_late_rank_is_named(const Communicator& comm, Transport& transport,
                              const RandomRouting& routing, const ExchangePlan& plan) {
  const int late = comm.size() - 1;
  transport.reserve({&plan, 1}, DType::f32, 4, {});
  int word = 0;
  if (comm.rank() == late) {
    for (int other = 0; other < late; ++other) {
      check_mpi(MPI_Recv(&word, 1, MPI_INT, other, kGaveUpTag, comm.get(), MPI_STATUS_IGNORE),
                "MPI_Recv");
    }
  }
  std::string text;
  bool is_reported = false;
  try {
    check_exchange(transport, routing, plan, DType::f32, 4);
  } catch (const ReportedByPeer&) {
    is_reported = true;
  } catch (const RunError& error) {
    text = error.what();
  }
  if (comm.rank() == late) return;
  check_mpi(MPI_Send(&word, 1, MPI_INT, late, kGaveUpTag, comm.get()), "MPI_Send");
  if (is_reported) return;
  CHECK_THAT(text, ContainsSubstring("no progress for 1 s"));
  CHECK_THAT(text, ContainsSubstring("rank " + std::to_string(late)));
}

}  // namespace hashep::test
