// SPDX-License-Identifier: Apache-2.0
#include "comm/exchange/hier_transport.hpp"

#include "tests/support/catch.hpp"
#include "tests/support/exchange_check.hpp"
#include "tests/support/exchange_suite.hpp"

using namespace hashep;

namespace {

/// Nodes by label where all ranks share memory; on a real cluster its own.
Topology made_up(test::Ranks& ranks, int label) {
  Topology found = find_topology(ranks.comm, ranks.watch);
  if (found.nodes.num_nodes() > 1) return found;
  return topology_by_label(ranks.comm, ranks.watch, label);
}

}  // namespace

TEST_CASE("long streams of many messages between nodes arrive in order") {
  test::Ranks ranks;
  const Topology topology = made_up(ranks, ranks.comm.rank() % 2);
  HierTransport transport(ranks.comm, topology, ranks.watch, 1);
  std::mt19937 random(5);
  const int64_t hidden_size = 96;
  const int64_t row_bytes = hidden_size * 4;
  const int64_t rows = 5 * RowStream::kMessageBytes / row_bytes;
  const std::vector<int64_t> tokens(ranks.comm.size(), rows);
  const auto routing =
      test::random_routing(random, ranks.comm.size(), 8, 3, tokens, test::Skew::uniform);
  const Placement placement = contiguous_placement(8, ranks.comm.size());
  const ExchangePlan plan = routing.plan(placement, ranks.comm.rank(), topology.nodes);
  const int64_t before = ranks.watch.collectives();
  const auto errors = test::check_exchange(transport, routing, plan, DType::f32, hidden_size);
  CHECK(errors.dispatch == 0);
  CHECK(errors.combine == 0);
  CHECK(errors.rows_received > 0);
  CHECK(ranks.watch.collectives() - before == 4);  // making room, once: a file, and its pages
  if (topology.nodes.num_nodes() > 1) {
    CHECK(plan.across.outgoing.front().num_rows() * row_bytes > 2 * RowStream::kMessageBytes);
  }
}

TEST_CASE("transport hier refuses a plan that was made for other nodes") {
  test::Ranks ranks;
  if (ranks.comm.size() == 1) return;
  const Topology topology = made_up(ranks, ranks.comm.rank());
  HierTransport transport(ranks.comm, topology, ranks.watch, 1);
  std::mt19937 random(5);
  const std::vector<int64_t> tokens(ranks.comm.size(), 4);
  const auto routing =
      test::random_routing(random, ranks.comm.size(), 4, 1, tokens, test::Skew::uniform);
  const ExchangePlan plan =
      routing.plan(contiguous_placement(4, ranks.comm.size()), ranks.comm.rank());
  CHECK_THROWS_WITH(transport.reserve({&plan, 1}, DType::f32, 4, {}),
                    ContainsSubstring("not made for these nodes"));
}

TEST_CASE("a rank of another node that stalls is named by those that wait for its messages") {
  const Communicator comm(MPI_COMM_WORLD);
  if (comm.size() < 2) return;
  // They stay until MPI has ended, as the wait that is given up leaves them in use.
  static Watch patient(comm, 240.0, nullptr);
  static const Topology topology = topology_by_label(comm, patient, comm.rank());
  static Watch watch(comm, 1.0, nullptr);
  watch.at({Phase::dispatch, 3, 1});
  static HierTransport transport(comm, topology, watch, 1);
  std::mt19937 random(1);
  const std::vector<int64_t> tokens(comm.size(), 50);
  const auto routing = test::random_routing(random, comm.size(), 4, 1, tokens, test::Skew::uniform);
  static const ExchangePlan plan =
      routing.plan(contiguous_placement(4, comm.size()), comm.rank(), topology.nodes);
  test::check_late_rank_is_named(comm, transport, routing, plan);
}
