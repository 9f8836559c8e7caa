// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/rank_group.hpp"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "comm/agreement.hpp"
#include "tests/support/catch.hpp"

using namespace hashep;
using namespace hashep::bench;

namespace {

constexpr double kLong = 60.0;  // seconds, which only a hang takes

/// What stays until MPI has ended: a wait that was given up leaves operations pending on its
/// communicator.
template <typename T, typename... Arguments>
T& lasting(Arguments&&... arguments) {
  static std::vector<std::unique_ptr<T>> things;
  things.push_back(std::make_unique<T>(std::forward<Arguments>(arguments)...));
  return *things.back();
}

double processor_seconds() {
  timespec time{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_nsec) * 1e-9;
}

void sleep_seconds(double seconds) {
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
}

/// Even ranks on one node, odd ones on another.
NodeMap two_nodes(int ranks) {
  std::vector<int32_t> labels;
  for (int rank = 0; rank < ranks; ++rank) labels.push_back(rank % 2);
  return NodeMap(labels);
}

}  // namespace

TEST_CASE("groups take the first ranks, node by node, and work as a job of their own") {
  const Communicator job(MPI_COMM_WORLD);
  Watch watch(job, kLong, nullptr);
  for (int size = 1; size <= job.size(); ++size) {
    RankGroup group(job, two_nodes(job.size()), watch, size);
    const int even = (job.size() + 1) / 2;
    const int place = job.rank() % 2 == 0 ? job.rank() / 2 : even + job.rank() / 2;
    CHECK(group.is_member() == (place < size));
    CHECK(group.size() == size);
    int ran = 0;
    group.run([&] {
      ++ran;
      const auto ranks = gather_word(group.comm(), group.watch(), job.rank());
      CHECK(static_cast<int>(ranks.size()) == size);
      CHECK(std::is_sorted(ranks.begin(), ranks.end()));
      CHECK(group.topology().nodes.ep_size() == size);
    });
    CHECK(ran == (place < size ? 1 : 0));
  }
}

TEST_CASE("ranks that are no members sleep, and wait as long as there are signs of life") {
  const Communicator job(MPI_COMM_WORLD);
  if (job.size() < 2) return;
  constexpr double kDeadline = 0.8;
  Watch watch(job, kDeadline, nullptr);
  RankGroup group(job, one_node(job.size()), watch, 1);
  const double begin = processor_seconds();
  group.run([&] {
    for (int i = 0; i < 40; ++i) {  // more than twice the deadline
      sleep_seconds(0.05);
      group.show_life();
    }
  });
  if (!group.is_member()) CHECK(processor_seconds() - begin < 0.15);
}

TEST_CASE("errors of the members are those of the job") {
  const Communicator job(MPI_COMM_WORLD);
  Watch watch(job, kLong, nullptr);
  RankGroup group(job, one_node(job.size()), watch, 1);
  int caught = 0;
  try {
    group.run([&] { agree(group.comm(), group.watch(), [] { throw InputError("bad"); }); });
  } catch (const CollectiveInputError& error) {
    ++caught;
    CHECK(error.is_reporter() == group.is_member());
  }
  try {
    group.run([&] { agree(group.comm(), group.watch(), [] { throw RunError("failed"); }); });
  } catch (const CollectiveRunError& error) {
    ++caught;
    CHECK(error.is_reporter() == group.is_member());
  }
  CHECK(caught == 2);
  // And go on afterwards.
  CHECK(gather_word(job, watch, 1) == std::vector<int64_t>(job.size(), 1));
}

TEST_CASE("a member that is silent is given up by those that sleep") {
  if (Communicator(MPI_COMM_WORLD).size() < 2) return;
  constexpr double kDeadline = 0.4;
  const Communicator& job = lasting<Communicator>(MPI_COMM_WORLD);
  Watch& watch = lasting<Watch>(job, kDeadline, nullptr);
  RankGroup& group = lasting<RankGroup>(job, one_node(job.size()), watch, 1);
  const auto begin = std::chrono::steady_clock::now();
  bool gave_up = false;
  std::string text;
  try {
    group.run([] { sleep_seconds(1.6); });
  } catch (const GaveUp& error) {
    gave_up = true;
    text = error.what();
  } catch (const ReportedByPeer&) {
    gave_up = true;
  }
  const std::chrono::duration<double> waited = std::chrono::steady_clock::now() - begin;
  CHECK(gave_up);
  if (group.is_member()) return;  // what it meets, late, is that the others have left
  CHECK(waited.count() > kDeadline);
  if (!text.empty()) CHECK(text.find("no answer from rank 0") != std::string::npos);
}

TEST_CASE("members that wait in vain say which ranks of the job they are") {
  if (Communicator(MPI_COMM_WORLD).size() < 3) return;
  const Communicator& job = lasting<Communicator>(MPI_COMM_WORLD);
  Watch& watch = lasting<Watch>(job, 2.0, nullptr);
  RankGroup& group = lasting<RankGroup>(job, two_nodes(job.size()), watch, 2);
  std::string text;
  try {
    group.run([&] {
      if (group.comm().rank() == 1) sleep_seconds(4.5);
      group.watch().barrier();
    });
  } catch (const GaveUp& error) {
    text = error.what();
  } catch (const ReportedByPeer&) {
  }
  if (job.rank() != 0) return;
  CHECK(text.find("rank 0, in a group of ranks 0, 2 that are numbered from 0: rank 0 in") !=
        std::string::npos);
  CHECK(text.find("no answer from rank 1") != std::string::npos);
}
