// SPDX-License-Identifier: Apache-2.0
#include "comm/shared_window.hpp"

#include <chrono>
#include <fstream>
#include <memory>
#include <thread>
#include <vector>

#include "comm/agreement.hpp"
#include "comm/gather.hpp"
#include "comm/topology.hpp"
#include "tests/support/catch.hpp"
#include "tests/support/ranks.hpp"

using namespace hashep;

namespace {

/// How the system calls what is mapped there.
std::string mapped_file(const std::byte* data) {
  std::ifstream maps("/proc/self/maps");
  for (std::string line; std::getline(maps, line);) {
    if (std::stoull(line, nullptr, 16) != reinterpret_cast<uintptr_t>(data)) continue;
    return line.substr(std::min(line.find('/'), line.size()));
  }
  return "";
}

}  // namespace

TEST_CASE("what a rank writes to a window the others read, also in parts reserved later") {
  test::Ranks ranks;
  const int64_t part = 10'000;  // not of whole pages
  SharedWindow window(ranks.comm, ranks.watch, ranks.comm.size() * part);
  CHECK(window.bytes() == ranks.comm.size() * part);
  for (const int64_t used : {int64_t{5}, part / 2, part}) {
    const int64_t first = ranks.comm.rank() * part;
    window.reserve(ranks.comm, ranks.watch, {first, first + used});
    for (int64_t i = 0; i < used; ++i) {
      window.data()[first + i] = static_cast<std::byte>(ranks.comm.rank() + i);
    }
    ranks.watch.barrier();
    int64_t wrong = 0;
    for (int rank = 0; rank < ranks.comm.size(); ++rank) {
      for (int64_t i = 0; i < used; ++i) {
        wrong += window.data()[rank * part + i] != static_cast<std::byte>(rank + i);
      }
    }
    CHECK(wrong == 0);
    ranks.watch.barrier();
  }
}

TEST_CASE("a window has no name") {
  test::Ranks ranks;
  const SharedWindow window(ranks.comm, ranks.watch, 100);
  ranks.watch.barrier();
  const std::string file = mapped_file(window.data());
  CHECK_THAT(file, ContainsSubstring("/dev/shm/hashep-"));
  CHECK(file.ends_with(" (deleted)"));
}

TEST_CASE("memory that is not there is refused on all ranks, and by one line") {
  test::Ranks ranks;
  const int last = ranks.comm.size() - 1;
  const int64_t much = int64_t{1} << 45;
  SharedWindow window(ranks.comm, ranks.watch, much);  // address space
  std::string text;
  bool is_reporter = false;
  try {
    window.reserve(ranks.comm, ranks.watch, {0, ranks.comm.rank() == last ? much : 0});
  } catch (const CollectiveRunError& error) {
    text = error.what();
    is_reporter = error.is_reporter();
  }
  CHECK(is_reporter == (ranks.comm.rank() == last));
  if (is_reporter) {
    CHECK_THAT(text, ContainsSubstring("rank " + std::to_string(last) + " in "));
    CHECK_THAT(text,
               ContainsSubstring("(32768.00 GiB of shared memory; is /dev/shm large enough? tr"));
  } else {
    CHECK(text == "rank " + std::to_string(last) + " failed");
  }
}

TEST_CASE("where a node of several has no memory its ranks know who reports") {
  test::Ranks ranks;
  const int last = ranks.comm.size() - 1;
  if (last == 0) return;
  // The last rank and the one before it are a node, the others another.
  const Topology topology =
      topology_by_label(ranks.comm, ranks.watch, ranks.comm.rank() + 1 < last ? 0 : 1);
  if (topology.node.size() == ranks.comm.size()) return;
  const int64_t much = int64_t{1} << 45;
  SharedWindow window(topology.node, ranks.watch, much);
  std::string outcome = "none";
  try {
    window.reserve(topology.node, ranks.watch, {0, ranks.comm.rank() == last ? much : 0});
  } catch (const ReportedByPeer& error) {
    outcome = error.what();
  } catch (const CollectiveRunError&) {
    outcome = "of all";
  } catch (const RunError&) {
    outcome = "to be reported";
  }
  const std::string by_last = "rank " + std::to_string(last) + " reports";
  CHECK(outcome == (ranks.comm.rank() == last       ? "to be reported"
                    : ranks.comm.rank() == last - 1 ? by_last
                                                    : "none"));
}

TEST_CASE("a rank that does not come to a window is named by one of the others") {
  const Communicator comm(MPI_COMM_WORLD);
  if (comm.size() < 2) return;
  test::Ranks patient;
  // It stays until MPI has ended, as the wait that is given up leaves it in use.
  static Watch watch(comm, 1.0, nullptr);
  static const Communicator node(MPI_COMM_WORLD);
  watch.at({Phase::setup, -1, -1});
  const int late = comm.size() - 1;
  int64_t told = 0;
  if (comm.rank() == late) {
    std::this_thread::sleep_for(std::chrono::seconds(4));
  } else {
    try {
      const SharedWindow window(node, watch, 100);
    } catch (const GaveUp& error) {
      told = 1;
      CHECK_THAT(std::string(error.what()), ContainsSubstring("rank " + std::to_string(late)));
    } catch (const ReportedByPeer&) {
    }
  }
  CHECK(reduce_sum(patient.comm, patient.watch, told) == 1);
}
