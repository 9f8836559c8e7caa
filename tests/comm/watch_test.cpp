// SPDX-License-Identifier: Apache-2.0
#include "comm/watch.hpp"

#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "tests/support/catch.hpp"
#include "tests/support/communicator_count.hpp"

using namespace hashep;

namespace {

/// A Watch that stays until MPI has ended: a wait that was given up leaves an operation pending on
/// its communicator, which must not be freed then.
Watch& lasting_watch(const Communicator& comm, double deadline, const volatile int* stop_signal) {
  static std::vector<std::unique_ptr<Watch>> watches;
  watches.push_back(std::make_unique<Watch>(comm, deadline, stop_signal));
  return *watches.back();
}

}  // namespace

TEST_CASE("a rank that does not come is named, with where the others were, by one of them") {
  const Communicator comm(MPI_COMM_WORLD);
  if (comm.size() < 2) return;
  const int late = comm.size() - 1;
  std::string text;
  bool reported_by_peer = false;
  Watch& watch = lasting_watch(comm, 1.0, nullptr);
  watch.at({Phase::dispatch, 3, 1});
  if (comm.rank() == late) {
    // Long enough for the others to give up; then the barrier's missing part comes.
    std::this_thread::sleep_for(std::chrono::seconds(4));
  }
  try {
    watch.barrier();
  } catch (const ReportedByPeer&) {
    reported_by_peer = true;
  } catch (const RunError& error) {
    text = error.what();
  }
  if (comm.rank() == late) return;
  CHECK((reported_by_peer || !text.empty()));
  if (!text.empty()) {
    CHECK_THAT(text, ContainsSubstring("in dispatch, layer 1, step 3"));
    // On a busy machine others may be late to answer too; this one is among them.
    const size_t missing = text.find("no answer from");
    CHECK(missing != std::string::npos);
    CHECK_THAT(text.substr(std::min(missing, text.size())),
               ContainsSubstring("rank " + std::to_string(late)));
  }
}

TEST_CASE("in set-up a wait goes on while a rank that works shows signs of life") {
  const Communicator comm(MPI_COMM_WORLD);
  if (comm.size() < 2) return;
  constexpr double kDeadline = 6.0;  // longer than ranks that outnumber cores are kept from running
  Watch& watch = lasting_watch(comm, kDeadline, nullptr);
  watch.allow_setup(240.0);
  for (const int busy : {0, comm.size() - 1}) {
    if (comm.rank() == busy) {
      const auto end =
          std::chrono::steady_clock::now() + std::chrono::duration<double>(kDeadline + 1);
      while (std::chrono::steady_clock::now() < end) {
        std::this_thread::sleep_for(std::chrono::milliseconds(20));
        watch.check_in();
      }
    }
    CHECK_NOTHROW(watch.barrier());
  }
}

TEST_CASE("set-up that is not done in its time ends, and says which ranks work") {
  const Communicator comm(MPI_COMM_WORLD);
  if (comm.size() < 2) return;
  const int busy = comm.size() - 1;
  Watch& watch = lasting_watch(comm, 60.0, nullptr);
  watch.allow_setup(1.0);
  std::string text;
  try {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(6);
    while (comm.rank() == busy && std::chrono::steady_clock::now() < end) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
      watch.check_in();
    }
    watch.barrier();
  } catch (const GaveUp& error) {
    text = error.what();
  } catch (const ReportedByPeer&) {
  }
  if (comm.rank() == busy || text.empty()) return;
  CHECK_THAT(text, ContainsSubstring("in setup: set-up is not done after 1 s"));
  // On a busy machine it may not answer in time.
  const std::string rank = "rank " + std::to_string(busy);
  CHECK((text.find(rank + " is at work") != std::string::npos ||
         text.find("no answer from") != std::string::npos));
}

TEST_CASE("a Watch that has asked keeps its communicator, and its questions reach no other") {
  const Communicator comm(MPI_COMM_WORLD);
  if (comm.size() < 2) return;
  for (const bool asks : {false, true}) {
    const int64_t held = test::communicators_held();
    {
      Watch watch(comm, asks ? 16.0 : 240.0, nullptr);
      watch.allow_setup(240.0);
      // The others ask after a quarter of the deadline, and wait for an answer for most of it,
      // which leaves seconds for ranks that are kept from running. Whether rank 0 answers is open.
      if (asks && comm.rank() == 0) std::this_thread::sleep_for(std::chrono::seconds(8));
      watch.barrier();
    }
    const int64_t kept = test::communicators_held() - held;
    if (!asks) CHECK(kept == 0);
    if (asks && comm.rank() != 0) CHECK(kept == 1);
    Watch next(comm, 60.0, nullptr);
    next.barrier();
    CHECK_NOTHROW(next.check_in());
    next.barrier();
  }
}

TEST_CASE("a stop signal ends a wait") {
  const Communicator comm(MPI_COMM_WORLD);
  static const volatile int signal = 15;
  Watch& watch = lasting_watch(comm, 60.0, &signal);
  watch.at({Phase::experts, 2, 0});
  std::string text;
  try {
    watch.check_stop();
  } catch (const RunError& error) {
    text = error.what();
  }
  // A rank that came first reports for all.
  const bool by_peer = text.ends_with("reports");
  if (!by_peer)
    CHECK_THAT(text, ContainsSubstring("in experts, layer 0, step 2: stopped by signal"));
  CHECK((!by_peer || comm.size() > 1));
}

TEST_CASE("waits that are answered just return") {
  const Communicator comm(MPI_COMM_WORLD);
  Watch watch(comm, 60.0, nullptr);
  const int64_t before = watch.collectives();
  for (int i = 0; i < 100; ++i) watch.barrier();
  CHECK(watch.collectives() - before == 100);
}
