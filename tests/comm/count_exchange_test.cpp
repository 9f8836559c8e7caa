// SPDX-License-Identifier: Apache-2.0
// Promise 2 of the design: the planning exchange gets done in the waits of a step that calls no MPI
// itself, as one over shared memory.
#include "comm/count_exchange.hpp"

#include <mpi.h>

#include "comm/topology.hpp"
#include "comm/transport/node_flags.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/ranks.hpp"

using namespace hashep;

namespace {

int64_t tests_of_pending = 0;  // calls of MPI_Test with a request that was not found complete yet

/// Waits for nothing, for so many polls.
void wait_for_polls(Watch& watch, int spins, int polls) {
  int polled = 0;
  watch.wait_until(
      spins, [&] { return ++polled > polls; }, [] { return ""; });
}

}  // namespace

// MPI's profiling interface: stands before the library's own function in the whole program.
extern "C" int MPI_Test(MPI_Request* request, int* flag, MPI_Status* status) {
  if (*request != MPI_REQUEST_NULL) ++tests_of_pending;
  return PMPI_Test(request, flag, status);
}

TEST_CASE("an exchange that is pending gets done in waits for other things, long or short") {
  constexpr int kMany = 50;  // two or three have been enough
  test::Ranks ranks;
  const Topology topology = topology_by_label(ranks.comm, ranks.watch, 0);
  NodeFlags flags(topology.node, topology.nodes.ranks_of(0), ranks.watch);
  CountExchange exchange(ranks.comm, 1);
  for (int64_t batch = 1; batch <= 2; ++batch) {
    const bool one_long_wait = batch == 1;
    INFO((one_long_wait ? "one long wait" : "many short waits"));
    const int64_t at_start = tests_of_pending;
    const std::vector<int64_t> mine = {10 * batch + ranks.comm.rank()};
    exchange.start(mine, ranks.watch);
    flags.set(Mark::landed, batch);
    flags.wait(Mark::landed, batch);  // all ranks have begun the exchange
    if (one_long_wait) {
      wait_for_polls(ranks.watch, 0, kMany);
    } else {
      for (int i = 0; i < kMany; ++i) wait_for_polls(ranks.watch, 3, 1);  // over before any pause
    }
    const int64_t before = tests_of_pending;
    CHECK(before > at_start);
    wait_for_polls(ranks.watch, 3, kMany);
    const auto all = exchange.finish(ranks.watch);
    CHECK(tests_of_pending == before);  // nothing was left to do
    for (int rank = 0; rank < ranks.comm.size(); ++rank) {
      CHECK(all[static_cast<size_t>(rank)] == 10 * batch + rank);
    }
  }
}

TEST_CASE("a request that is forgotten is not touched by waits") {
  test::Ranks ranks;
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Ibarrier(ranks.comm.get(), &request), "MPI_Ibarrier");
  ranks.watch.look_after(request);
  ranks.watch.forget(request);
  const int64_t before = tests_of_pending;
  wait_for_polls(ranks.watch, 3, 20);
  CHECK(tests_of_pending == before);
  ranks.watch.wait(request);
  CHECK(tests_of_pending > before);
}
