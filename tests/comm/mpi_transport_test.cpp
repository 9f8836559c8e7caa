// SPDX-License-Identifier: Apache-2.0
#include "comm/transport/mpi_transport.hpp"

#include "tests/support/catch.hpp"
#include "tests/support/exchange_check.hpp"
#include "tests/support/ranks.hpp"

using namespace hashep;

TEST_CASE("transport mpi puts every row in its place") {
  test::Ranks ranks;
  std::mt19937 random(17);  // the same cases on all ranks
  MpiTransport transport(ranks.comm, ranks.watch, 1);
  int64_t off_rank = 0;
  for (int round = 0; round < 60; ++round) {
    const int ep_size = ranks.comm.size();
    const auto num_experts = static_cast<int64_t>(1 + random() % 12);
    const int top_k = static_cast<int>(1 + random() % std::min<uint64_t>(6, num_experts));
    std::vector<int64_t> tokens;
    for (int rank = 0; rank < ep_size; ++rank) {
      tokens.push_back(random() % 4 == 0 ? 0 : static_cast<int64_t>(random() % 70));
    }
    const auto routing = test::random_routing(random, ep_size, num_experts, top_k, tokens,
                                              static_cast<test::Skew>(round % 3));
    const Placement placement = contiguous_placement(num_experts, ep_size);
    const DType dtype = round % 2 == 0 ? DType::f32 : DType::bf16;
    const int64_t hidden_size = round % 5 == 0 ? 64 : 7;
    const auto errors =
        test::check_exchange(transport, routing, placement, ranks.comm.rank(), dtype, hidden_size);
    CHECK(errors.dispatch == 0);
    CHECK(errors.combine == 0);
    const ExchangePlan plan = routing.plan(placement, ranks.comm.rank());
    off_rank += plan.total_recv() - plan.recv_counts[static_cast<size_t>(ranks.comm.rank())];
  }
  // With more than one rank something crosses between them.
  CHECK((off_rank > 0) == (ranks.comm.size() > 1));
}

TEST_CASE("an exchange is one collective each way and its buffers are exactly the plan's") {
  test::Ranks ranks;
  std::mt19937 random(23);
  const std::vector<int64_t> tokens(static_cast<size_t>(ranks.comm.size()), 30);
  const auto routing =
      test::random_routing(random, ranks.comm.size(), 6, 2, tokens, test::Skew::uniform);
  const Placement placement = contiguous_placement(6, ranks.comm.size());
  const ExchangePlan plan = routing.plan(placement, ranks.comm.rank());
  MpiTransport transport(ranks.comm, ranks.watch, 1);
  const int64_t before = ranks.watch.collectives();
  test::check_exchange(transport, routing, placement, ranks.comm.rank(), DType::f32, 8);
  CHECK(ranks.watch.collectives() - before == 4);  // dispatch and combine, twice
  CHECK(transport.buffer_bytes() == (plan.total_send() + 2 * plan.total_recv()) * 8 * 4);
}
