// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/rank_group.hpp"

#include <algorithm>
#include <exception>
#include <string>
#include <thread>
#include <utility>

#include "comm/agreement.hpp"

namespace hashep::bench {
namespace {

// Signs of rank 0.
constexpr int kAtWork = 1;
constexpr int kDone = 2;

constexpr auto kNap = std::chrono::milliseconds(2);
constexpr double kSignsInDeadline = 8.0;

// Outcomes of a member's work, the worst the greatest.
constexpr int64_t kWell = 0;
constexpr int64_t kFailed = 1;
constexpr int64_t kBadInput = 2;

std::vector<int> first_ranks(const NodeMap& nodes, int size) {
  std::vector<int> ranks;
  for (int node = 0; node < nodes.num_nodes(); ++node) {
    for (const int32_t rank : nodes.ranks_of(node)) {
      if (static_cast<int>(ranks.size()) < size) ranks.push_back(rank);
    }
  }
  std::sort(ranks.begin(), ranks.end());
  return ranks;
}

/// "0, 2, 4", or "0, 1, 2 ... 511".
std::string list(const std::vector<int>& ranks) {
  constexpr size_t kMostNamed = 8;
  constexpr size_t kNamedOfMany = 3;
  const size_t named = ranks.size() <= kMostNamed ? ranks.size() : kNamedOfMany;
  std::string text;
  for (size_t i = 0; i < named; ++i) text += (i == 0 ? "" : ", ") + std::to_string(ranks[i]);
  return named == ranks.size() ? text : text + " ... " + std::to_string(ranks.back());
}

/// The policy of the job's Watch hears of the call: the group's Watch has none.
Topology find_guarded_topology(const Communicator& comm, Watch& watch, const Watch& job) {
  const BlockingCallScope call(job, "finding the ranks of its node", true);
  return find_topology(comm, watch);
}

}  // namespace

RankGroup::Own::Own(Communicator part, const Watch& job)
    : comm(std::move(part)),
      watch(comm, job.deadline(), nullptr),
      topology(find_guarded_topology(comm, watch, job)) {}

RankGroup::RankGroup(const Communicator& job, const NodeMap& nodes, Watch& watch, int size)
    : job_(job), watch_(watch), signs_(job.get()), members_(first_ranks(nodes, size)) {
  for (int rank = 0; rank < job.size(); ++rank) {
    if (!std::binary_search(members_.begin(), members_.end(), rank)) others_.push_back(rank);
  }
  // Making communicators has no deadline: a rank that is missing shows here.
  watch.barrier();
  const bool member = std::binary_search(members_.begin(), members_.end(), job.rank());
  Communicator part = Communicator::of_label(job, member ? 0 : 1);
  if (member) own_.emplace(std::move(part), watch);
}

void RankGroup::run(const std::function<void()>& work) {
  int64_t outcome = kWell;
  std::exception_ptr failure;
  if (is_member()) {
    try {
      run_as_member(work);
    } catch (const CollectiveInputError&) {
      outcome = kBadInput;
      failure = std::current_exception();
    } catch (const CollectiveRunError&) {
      outcome = kFailed;
      failure = std::current_exception();
    }
    tell_others(kDone);
  } else {
    sleep_until_done();
  }
  const std::vector<int64_t> outcomes = gather_word(job_, watch_, outcome);
  if (failure) std::rethrow_exception(failure);
  const int64_t worst = *std::max_element(outcomes.begin(), outcomes.end());
  if (worst == kBadInput) throw CollectiveInputError("a member reports", false);
  if (worst == kFailed) throw CollectiveRunError("a member reports", false);
}

void RankGroup::run_as_member(const std::function<void()>& work) {
  show_life();
  try {
    work();
  } catch (const GaveUp& error) {
    translate(error);
  }
}

void RankGroup::translate(const GaveUp& error) const {
  if (members_.back() == size() - 1) throw;  // the same numbers
  throw GaveUp("rank " + std::to_string(job_.rank()) + ", in a group of ranks " + list(members_) +
               " that are numbered from 0: " + error.what());
}

void RankGroup::show_life() {
  if (job_.rank() != 0) return;
  const Clock::time_point now = Clock::now();
  const std::chrono::duration<double> interval(std::min(1.0, watch_.deadline() / kSignsInDeadline));
  if (now - last_sign_ < interval) return;
  last_sign_ = now;
  tell_others(kAtWork);
}

void RankGroup::tell_others(int tag) {
  if (job_.rank() != 0) return;
  for (const int rank : others_) {
    MPI_Request request = MPI_REQUEST_NULL;
    check_mpi(MPI_Isend(nullptr, 0, MPI_BYTE, rank, tag, signs_.get(), &request), "MPI_Isend");
    // Not waited for: a dead rank's request would never complete.
    check_mpi(MPI_Request_free(&request), "MPI_Request_free");
  }
}

int RankGroup::next_sign() {
  int waiting = 0;
  MPI_Status status;
  check_mpi(MPI_Iprobe(0, MPI_ANY_TAG, signs_.get(), &waiting, &status), "MPI_Iprobe");
  if (waiting == 0) {
    std::this_thread::sleep_for(kNap);
    return 0;
  }
  check_mpi(MPI_Recv(nullptr, 0, MPI_BYTE, 0, status.MPI_TAG, signs_.get(), MPI_STATUS_IGNORE),
            "MPI_Recv");
  return status.MPI_TAG;
}

void RankGroup::sleep_until_done() {
  const std::chrono::duration<double> deadline(watch_.deadline());
  int sign = 0;
  while (sign != kDone) {
    sign = 0;
    // A first deadline in halves, neither of which ends the job: members that wait for each other
    // give up in it, and can tell more.
    for (int half = 0; half < 2 && sign == 0; ++half) {
      const Clock::time_point begin = Clock::now();
      watch_.wait_until(
          0,
          [&] {
            sign = next_sign();
            return sign != 0 || Clock::now() - begin > deadline / 2;
          },
          [] { return ""; });
    }
    if (sign != 0) continue;
    watch_.wait_until(
        0,
        [&] {
          sign = next_sign();
          return sign != 0;
        },
        [this] { return ", asleep until the group of ranks " + list(members_) + " is done"; });
  }
}

}  // namespace hashep::bench
