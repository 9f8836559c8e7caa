// SPDX-License-Identifier: Apache-2.0
#include "comm/exchange/shm_transport.hpp"

#include "kernels/rows/stream_copy.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/exchange_check.hpp"
#include "tests/support/exchange_suite.hpp"

using namespace hashep;

TEST_CASE("growing buffers is all that ranks on transport shm gather for, and that is seldom") {
  test::Ranks ranks;
  const int64_t before = ranks.watch.collectives();
  test::check_rows_in_place(
      ranks, {"shm", [](test::Ranks& on, const Topology& topology) {
                return std::make_unique<test::HostDriver>(
                    std::make_unique<ShmTransport>(topology, on.comm.rank(), on.watch, 1));
              }});
  CHECK(ranks.watch.collectives() - before < 40);  // with those of making all
}

TEST_CASE("streamed and with threads, transport shm still puts every row in its place") {
  test::Ranks ranks;
  const Topology topology = find_topology(ranks.comm, ranks.watch);
  ShmTransport transport(topology, ranks.comm.rank(), ranks.watch, 2);
  std::mt19937 random(5);
  const int64_t hidden_size = 1024;
  const int64_t rows = core_cache_bytes() / (hidden_size * 4);  // twice as much, read and written
  const std::vector<int64_t> tokens(ranks.comm.size(), rows);
  const auto routing =
      test::random_routing(random, ranks.comm.size(), 8, 1, tokens, test::Skew::uniform);
  const Placement placement = contiguous_placement(8, ranks.comm.size());
  const ExchangePlan plan = routing.plan(placement, ranks.comm.rank());
  const auto errors = test::check_exchange(transport, routing, plan, DType::f32, hidden_size);
  CHECK(errors.dispatch == 0);
  CHECK(errors.combine == 0);
  CHECK(errors.rows_received > 0);
  CHECK(worth_streaming(2 * rows * hidden_size * 4));
}

TEST_CASE("the buffers of transport shm are the rows that land, and an exchange is no collective") {
  test::Ranks ranks;
  const Topology topology = find_topology(ranks.comm, ranks.watch);
  ShmTransport transport(topology, ranks.comm.rank(), ranks.watch, 1);
  std::mt19937 random(23);
  const std::vector<int64_t> tokens(ranks.comm.size(), 30);
  const auto routing =
      test::random_routing(random, ranks.comm.size(), 6, 2, tokens, test::Skew::uniform);
  const Placement placement = contiguous_placement(6, ranks.comm.size());
  const ExchangePlan plan = routing.plan(placement, ranks.comm.rank());
  transport.reserve({&plan, 1}, DType::f32, 16, {});
  CHECK(transport.buffer_bytes() == plan.total_recv() * 16 * 4);
  const int64_t before = ranks.watch.collectives();
  test::check_exchange(transport, routing, plan, DType::f32, 16);
  CHECK(ranks.watch.collectives() == before);
}

TEST_CASE("a rank that stalls is named by those that wait for its rows") {
  const Communicator comm(MPI_COMM_WORLD);
  if (comm.size() < 2) return;
  // Both stay until MPI has ended, as the wait that is given up leaves them in use.
  static Watch patient(comm, 240.0, nullptr);
  static const Topology topology = find_topology(comm, patient);
  static Watch watch(comm, 1.0, nullptr);
  watch.at({Phase::dispatch, 3, 1});
  static ShmTransport transport(topology, comm.rank(), watch, 1);
  std::mt19937 random(1);
  const std::vector<int64_t> tokens(comm.size(), 5);
  const auto routing = test::random_routing(random, comm.size(), 4, 1, tokens, test::Skew::uniform);
  static const ExchangePlan plan = routing.plan(contiguous_placement(4, comm.size()), comm.rank());
  test::check_late_rank_is_named(comm, transport, routing, plan);
}
