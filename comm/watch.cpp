// SPDX-License-Identifier: Apache-2.0
#include "comm/watch.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <thread>

namespace hashep {
namespace {

// Tags on the control communicator.
constexpr int kQuestion = 1;  // where are you?
constexpr int kAnswer = 2;
constexpr int kReport = 3;  // I print the error; end quietly

constexpr int kSpinsBeforeYield = 2000;  // some 100 us: longer than a small exchange
constexpr auto kNoteInterval = std::chrono::milliseconds(20);
constexpr double kLongestGrace = 2.0;  // seconds to wait for answers to the roll
constexpr double kSignalGrace = 0.3;   // mpirun kills about a second after SIGTERM
constexpr auto kReportSettles = std::chrono::milliseconds(100);

std::array<int64_t, 3> pack(const Position& position) {
  return {static_cast<int64_t>(position.phase), position.step, position.layer};
}

Position unpack(const std::array<int64_t, 3>& words) {
  const int64_t phase = std::clamp<int64_t>(words[0], 0, kNumPhases - 1);
  return {static_cast<Phase>(phase), words[1], words[2]};
}

std::chrono::duration<double> seconds(double value) {
  return std::chrono::duration<double>(value);
}

bool is_complete(MPI_Request& request) {
  int done = 0;
  check_mpi(MPI_Test(&request, &done, MPI_STATUS_IGNORE), "MPI_Test");
  return done != 0;
}

}  // namespace

Watch::Watch(const Communicator& comm, double deadline, const volatile int* stop_signal)
    : control_(comm.get()),
      deadline_(deadline),
      stop_signal_(stop_signal),
      answers_(static_cast<size_t>(comm.size())) {}

void Watch::wait(MPI_Request& request) {
  wait_until(
      kSpinsBeforeYield, [&request] { return is_complete(request); }, [] { return ""; });
}

Watch::Patience Watch::start_waiting() const {
  const auto now = Clock::now();
  const double grace = std::min(kLongestGrace, deadline_ / 4);
  return {now + seconds(deadline_ - grace), now + kNoteInterval, grace, 0};
}

void Watch::move_on() {
  std::erase_if(looked_after_, [](MPI_Request* request) { return is_complete(*request); });
}

bool Watch::is_patient(Patience& patience) {
  move_on();
  pause_between_polls(patience.polls++);
  const auto now = Clock::now();
  if (now < patience.next_notes) return true;
  patience.next_notes = now + kNoteInterval;
  check_stop();
  take_notes();
  return now < patience.limit;
}

std::string Watch::lost_patience() const {
  return "no progress for " + std::to_string(std::llround(deadline_)) + " s";
}

void Watch::check_stop() {
  if (stop_signal_ == nullptr || *stop_signal_ == 0) return;
  give_up(kSignalGrace, std::string("stopped by signal ") + strsignal(*stop_signal_));
}

void Watch::barrier(const Communicator& among) {
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Ibarrier(among.get(), &request), "MPI_Ibarrier");
  count_collective();
  wait(request);
}

void Watch::send_note(int peer, int tag) {
  note_ = pack(position_);
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Isend(note_.data(), static_cast<int>(note_.size()), MPI_INT64_T, peer, tag,
                      control_.get(), &request),
            "MPI_Isend");
  // Not waited for: a dead peer's request would never complete. note_ outlives it.
  check_mpi(MPI_Request_free(&request), "MPI_Request_free");
}

void Watch::send_to_all(int tag) {
  for (int peer = 0; peer < size(); ++peer) {
    if (peer != rank()) send_note(peer, tag);
  }
}

void Watch::take_notes() {
  for (;;) {
    int waiting = 0;
    MPI_Status status;
    check_mpi(MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, control_.get(), &waiting, &status),
              "MPI_Iprobe");
    if (waiting == 0) return;
    std::array<int64_t, 3> words{};
    check_mpi(MPI_Recv(words.data(), static_cast<int>(words.size()), MPI_INT64_T, status.MPI_SOURCE,
                       status.MPI_TAG, control_.get(), MPI_STATUS_IGNORE),
              "MPI_Recv");
    if (status.MPI_TAG == kReport) {
      if (reporter_ < 0 || status.MPI_SOURCE < reporter_) reporter_ = status.MPI_SOURCE;
      continue;
    }
    answers_[static_cast<size_t>(status.MPI_SOURCE)] = {true, unpack(words)};
    if (status.MPI_TAG == kQuestion) {
      send_note(status.MPI_SOURCE, kAnswer);
    }
  }
}

void Watch::call_roll(double grace) {
  send_to_all(kQuestion);
  answers_[static_cast<size_t>(rank())] = {true, position_};
  const auto limit = Clock::now() + seconds(grace);
  const auto all_present = [this] {
    return std::all_of(answers_.begin(), answers_.end(), [](const Answer& a) { return a.present; });
  };
  while (!all_present() && reporter_ < 0 && Clock::now() < limit) {
    take_notes();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

void Watch::claim_report() {
  take_notes();
  if (reporter_ >= 0) throw ReportedByPeer(reporter_);
  if (size() == 1) return;
  send_to_all(kReport);
  // Of ranks that claim at the same moment the lowest reports.
  const auto limit = Clock::now() + kReportSettles;
  while (Clock::now() < limit) {
    take_notes();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  if (reporter_ >= 0 && reporter_ < rank()) throw ReportedByPeer(reporter_);
}

void Watch::give_up(double grace, const std::string& reason) {
  std::fill(answers_.begin(), answers_.end(), Answer{});
  take_notes();
  if (reporter_ < 0) call_roll(grace);
  claim_report();

  std::string missing;
  std::string elsewhere;
  for (int peer = 0; peer < size(); ++peer) {
    const Answer& answer = answers_[static_cast<size_t>(peer)];
    if (!answer.present) {
      missing += (missing.empty() ? "rank " : ", rank ") + std::to_string(peer);
    } else if (answer.position != position_) {
      elsewhere += "; rank " + std::to_string(peer) + " is in " + to_string(answer.position);
    }
  }
  std::string text =
      "rank " + std::to_string(rank()) + " in " + to_string(position_) + ": " + reason;
  if (!missing.empty()) text += "; no answer from " + missing + " (dead, stopped or computing)";
  throw GaveUp(text + elsewhere);
}

}  // namespace hashep
