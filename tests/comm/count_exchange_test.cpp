// SPDX-License-Identifier: Apache-2.0
// Promise 2 of the design: the planning exchange gets done in the waits of a step that calls no MPI
// itself, as one over shared memory.
#include "comm/count_exchange.hpp"

#include <mpi.h>

#include <algorithm>
#include <chrono>
#include <thread>

#include "comm/exchange/node_flags.hpp"
#include "comm/topology.hpp"
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

/// Waits for nothing again and again, until no wait finds anything pending any more: other ranks
/// may have to be given a core first.
void wait_until_none_is_pending(Watch& watch, int spins, int polls) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  for (int64_t before = -1; tests_of_pending != before && std::chrono::steady_clock::now() < end;) {
    before = tests_of_pending;
    wait_for_polls(watch, spins, polls);
  }
}

}  // namespace

// MPI's profiling interface: stands before the library's own function in the whole program.
extern "C" int MPI_Test(MPI_Request* request, int* flag, MPI_Status* status) {
  if (*request != MPI_REQUEST_NULL) ++tests_of_pending;
  return PMPI_Test(request, flag, status);
}

TEST_CASE("an exchange that is pending gets done in waits for other things, long or short") {
  test::Ranks ranks;
  const Topology topology = topology_by_label(ranks.comm, ranks.watch, 0);
  NodeFlags flags(topology.node, topology.nodes.ranks_of(0), ranks.watch);
  CountExchange exchange(ranks.comm, 1);
  for (int64_t batch = 1; batch <= 2; ++batch) {
    const bool long_waits = batch == 1;
    INFO((long_waits ? "long waits" : "short waits"));
    const int64_t at_start = tests_of_pending;
    const std::vector<CountWord> mine = {static_cast<CountWord>(10 * batch + ranks.comm.rank())};
    exchange.start(mine, ranks.watch);
    flags.set(Mark::landed, batch);
    flags.wait(Mark::landed, batch);  // all ranks have begun the exchange
    if (long_waits) {
      wait_until_none_is_pending(ranks.watch, 0, 50);
    } else {
      wait_until_none_is_pending(ranks.watch, 3, 1);  // over before any pause
    }
    const int64_t before = tests_of_pending;
    CHECK(before > at_start);
    const auto all = exchange.finish(ranks.watch);
    CHECK(tests_of_pending == before);  // nothing was left to do
    for (int rank = 0; rank < ranks.comm.size(); ++rank) {
      CHECK(int64_t{all[static_cast<size_t>(rank)]} == 10 * batch + rank);
    }
  }
}

TEST_CASE("an exchange that is given up while it is pending leaves MPI its memory") {
  constexpr int64_t kWords = 1000;
  test::Ranks ranks;
  const std::vector<CountWord> mine(kWords, 7);
  const auto size = static_cast<size_t>(kWords * ranks.comm.size());
  {
    CountExchange exchange(ranks.comm, kWords);
    // The first rank gives up before the others have sent anything.
    if (ranks.comm.rank() > 0) std::this_thread::sleep_for(std::chrono::milliseconds(200));
    exchange.start(mine, ranks.watch);
  }
  const std::vector<CountWord> next(size, 8);  // likely where the exchange had its memory
  for (int i = 0; i < 3; ++i) {
    MPI_Request barrier = MPI_REQUEST_NULL;  // moves the exchange on
    check_mpi(MPI_Ibarrier(ranks.comm.get(), &barrier), "MPI_Ibarrier");
    ranks.watch.wait(barrier);
  }
  CHECK(std::count(next.begin(), next.end(), CountWord{8}) == std::ssize(next));
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
