// SPDX-License-Identifier: Apache-2.0
#include "comm/exchange/mpi_transport.hpp"

#include "tests/support/catch.hpp"
#include "tests/support/exchange_check.hpp"
#include "tests/support/random_routing.hpp"
#include "tests/support/ranks.hpp"

using namespace hashep;

TEST_CASE("an exchange is one collective each way and its buffers are exactly the plan's") {
  test::Ranks ranks;
  std::mt19937 random(23);
  const std::vector<int64_t> tokens(ranks.comm.size(), 30);
  const auto routing =
      test::random_routing(random, ranks.comm.size(), 6, 2, tokens, test::Skew::uniform);
  const Placement placement = contiguous_placement(6, ranks.comm.size());
  const ExchangePlan plan = routing.plan(placement, ranks.comm.rank());
  MpiTransport transport(ranks.comm, ranks.watch, 1);
  const int64_t before = ranks.watch.collectives();
  test::check_exchange(transport, routing, plan, DType::f32, 8);
  CHECK(ranks.watch.collectives() - before == 4);  // dispatch and combine, twice
  CHECK(transport.buffer_bytes() == (plan.total_send() + 2 * plan.total_recv()) * 8 * 4);
}
