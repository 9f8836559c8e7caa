// SPDX-License-Identifier: Apache-2.0
#include "comm/watch.hpp"

#include <sched.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <thread>
#include <utility>

#include "comm/keep_until_exit.hpp"

namespace hashep {
namespace {

// Tags on the control communicator.
constexpr int kQuestion = 1;  // where are you?
constexpr int kAnswer = 2;
constexpr int kReport = 3;  // I print the error; end quietly
constexpr int kLeave = 4;   // I will not come; the reason in bytes

constexpr int kSpinsBeforeYield = 2000;  // some 100 us: longer than a small exchange
constexpr auto kNoteInterval = std::chrono::milliseconds(20);
constexpr double kLongestGrace = 2.0;  // seconds to wait for answers to the roll
constexpr double kSignalGrace = 0.3;   // mpirun kills about a second after SIGTERM
constexpr auto kReportSettles = std::chrono::milliseconds(100);
constexpr double kSignsInDeadline = 4.0;  // asked for in set-up

std::array<int64_t, 4> pack(const Position& position, bool busy) {
  return {static_cast<int64_t>(position.phase), position.step, position.layer, busy ? 1 : 0};
}

Position unpack(const std::array<int64_t, 4>& words) {
  const int64_t phase = std::clamp<int64_t>(words[0], 0, kNumPhases - 1);
  return {static_cast<Phase>(phase), words[1], words[2]};
}

std::chrono::duration<double> seconds(double value) {
  return std::chrono::duration<double>(value);
}

std::string rounded(double value) {
  return std::to_string(std::llround(value)) + " s";
}

bool is_complete(MPI_Request& request) {
  if (request == MPI_REQUEST_NULL) return true;
  int done = 0;
  check_mpi(MPI_Test(&request, &done, MPI_STATUS_IGNORE), "MPI_Test");
  return done != 0;
}

}  // namespace

Watch::Watch(const Communicator& comm, double deadline, const volatile int* stop_signal)
    : control_(comm.get()), deadline_(deadline), stop_signal_(stop_signal), answers_(comm.size()) {}

Watch::~Watch() {
  // A note that is still on its way when its communicator is freed would be taken for a message of
  // the next communicator of that number.
  int waiting = 0;
  const bool looks = !has_notes_ && mpi_is_up();
  if (looks && MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, control_.get(), &waiting,
                          MPI_STATUS_IGNORE) != MPI_SUCCESS) {
    return;
  }
  if (!has_notes_ && waiting == 0) return;
  control_.abandon();
  keep_until_exit(std::move(note_));
}

void Watch::set_policy(FailurePolicy* policy) {
  policy_ = policy;
  at(position_);
}

void Watch::at(Position position) {
  position_ = position;
  if (policy_ != nullptr) policy_->at(position);
}

void Watch::allow_setup(double seconds_from_now) {
  setup_seconds_ = seconds_from_now;
  // A year is as good as any longer time, and within what the clock can hold.
  setup_limit_ = Clock::now() + std::chrono::duration_cast<Clock::duration>(
                                    seconds(std::min(seconds_from_now, 3.2e7)));
}

void Watch::wait(MPI_Request& request) {
  wait_until(
      kSpinsBeforeYield, [&request] { return is_complete(request); }, [] { return ""; });
}

void Watch::wait(MPI_Request& request, std::shared_ptr<void> memory) {
  try {
    wait(request);
  } catch (...) {
    keep_until_exit(std::move(memory));
    throw;
  }
}

Watch::Patience Watch::start_waiting() const {
  const auto now = Clock::now();
  const double grace = std::min(kLongestGrace, deadline_ / 4);
  return {now + seconds(deadline_ - grace), now + kNoteInterval, grace, now, next_question(now)};
}

Watch::Clock::time_point Watch::next_question(Clock::time_point now) const {
  return now + std::chrono::duration_cast<Clock::duration>(seconds(deadline_ / kSignsInDeadline));
}

void Watch::move_on() {
  std::erase_if(polled_, [](const Polled& each) {
    if (!is_complete(*each.request)) return false;
    if (each.when_done) each.when_done();
    return true;
  });
}

bool Watch::is_patient(Patience& patience) {
  move_on();
  sched_yield();
  const auto now = Clock::now();
  if (now < patience.next_notes) return true;
  patience.next_notes = now + kNoteInterval;
  check_stop();
  busy_ = false;
  take_notes();
  require_all_here();
  const bool goes_on = is_in_setup() ? hears_of_all(patience, now) : now < patience.limit;
  busy_ = true;
  return goes_on;
}

bool Watch::hears_of_all(Patience& patience, Clock::time_point now) {
  const int first = rank() == 0 ? 1 : 0;
  const int end = rank() == 0 ? size() : 1;
  if (now >= patience.next_question) {
    patience.next_question = next_question(now);
    for (int peer = first; peer < end; ++peer) send_note(peer, kQuestion);
  }
  const auto is_silent = [&](const Answer& answer) {
    return now - std::max(answer.when, patience.begin) >= seconds(deadline_ - patience.grace);
  };
  return now < setup_limit_ &&
         std::none_of(answers_.begin() + first, answers_.begin() + end, is_silent);
}

std::string Watch::timeout_text() const {
  if (is_in_setup() && Clock::now() >= setup_limit_) {
    return "set-up is not done after " + rounded(setup_seconds_);
  }
  return "no progress for " + rounded(deadline_);
}

void Watch::check_stop() {
  if (stop_signal_ == nullptr || *stop_signal_ == 0) return;
  give_up(kSignalGrace, std::string("stopped by signal ") + strsignal(*stop_signal_));
}

void Watch::check_in() {
  check_stop();
  const auto now = Clock::now();
  if (now < next_check_in_) return;
  next_check_in_ = now + kNoteInterval;
  take_notes();
  require_all_here();
}

void Watch::barrier(const Communicator& among) {
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Ibarrier(among.get(), &request), "MPI_Ibarrier");
  count_collective();
  wait(request);
}

void Watch::send_note(int peer, int tag) {
  *note_ = pack(position_, busy_);
  if (policy_ != nullptr) policy_->sends_to(peer);
  MPI_Request request = MPI_REQUEST_NULL;
  // MPICH refuses to send to a dead peer, which then does not answer. Not waited for: Open MPI
  // never completes such a request.
  if (MPI_Isend(note_->data(), static_cast<int>(note_->size()), MPI_INT64_T, peer, tag,
                control_.get(), &request) == MPI_SUCCESS) {
    check_mpi(MPI_Request_free(&request), "MPI_Request_free");
    has_notes_ = true;
  }
  if (policy_ != nullptr) policy_->sends_to(-1);
}

void Watch::send_to_all(int tag) {
  for (int peer = 0; peer < size(); ++peer) {
    if (peer != rank()) send_note(peer, tag);
  }
}

void Watch::take_notes() {
  if (policy_ != nullptr) policy_->makes_progress();
  for (;;) {
    int waiting = 0;
    MPI_Status status;
    // MPICH may refuse where a peer is dead; waits then end by their deadline, or by its next
    // error.
    const int code = MPI_Iprobe(MPI_ANY_SOURCE, MPI_ANY_TAG, control_.get(), &waiting, &status);
    if (code != MPI_SUCCESS || waiting == 0) return;
    has_notes_ = true;
    if (status.MPI_TAG == kLeave) {
      take_reason(status.MPI_SOURCE);
      continue;
    }
    std::array<int64_t, 4> words{};
    check_mpi(MPI_Recv(words.data(), static_cast<int>(words.size()), MPI_INT64_T, status.MPI_SOURCE,
                       status.MPI_TAG, control_.get(), MPI_STATUS_IGNORE),
              "MPI_Recv");
    if (policy_ != nullptr) policy_->hears_of(status.MPI_SOURCE);
    if (status.MPI_TAG == kReport) {
      if (reporter_ < 0 || status.MPI_SOURCE < reporter_) reporter_ = status.MPI_SOURCE;
      continue;
    }
    answers_[status.MPI_SOURCE] = {true, unpack(words), words[3] != 0, Clock::now()};
    if (status.MPI_TAG == kQuestion) {
      send_note(status.MPI_SOURCE, kAnswer);
    }
  }
}

void Watch::leave(const std::string& reason) {
  const auto text = std::make_shared<std::string>(reason.substr(0, kLongestReason));
  for (int peer = 0; peer < size(); ++peer) {
    if (peer == rank()) continue;
    MPI_Request request = MPI_REQUEST_NULL;
    // As send_note: a dead peer is not waited for.
    if (MPI_Isend(text->data(), static_cast<int>(text->size()), MPI_CHAR, peer, kLeave,
                  control_.get(), &request) == MPI_SUCCESS) {
      check_mpi(MPI_Request_free(&request), "MPI_Request_free");
      has_notes_ = true;
    }
  }
  keep_until_exit(text);
  take_notes();
}

void Watch::take_reason(int peer) {
  std::string reason(kLongestReason, '\0');
  MPI_Status status;
  check_mpi(MPI_Recv(reason.data(), static_cast<int>(reason.size()), MPI_CHAR, peer, kLeave,
                     control_.get(), &status),
            "MPI_Recv");
  int bytes = 0;
  check_mpi(MPI_Get_count(&status, MPI_CHAR, &bytes), "MPI_Get_count");
  reason.resize(bytes);
  if (policy_ != nullptr) policy_->hears_of(peer);
  if (!left_) left_.emplace(peer, std::move(reason));
}

void Watch::require_all_here() const {
  if (left_) throw PeerLeft(left_->first, left_->second);
}

void Watch::call_roll(double grace) {
  send_to_all(kQuestion);
  answers_[rank()] = {true, position_, busy_, Clock::now()};
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
  settle_reporter();
  if (policy_ != nullptr) policy_->reporter_is_known();
  if (reporter_ >= 0) throw ReportedByPeer(reporter_);
}

void Watch::settle_reporter() {
  take_notes();
  if (reporter_ >= 0 || size() == 1) return;
  send_to_all(kReport);
  // Of ranks that claim at the same moment the lowest reports.
  const auto limit = Clock::now() + kReportSettles;
  while (Clock::now() < limit) {
    take_notes();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  if (reporter_ > rank()) reporter_ = -1;
}

void Watch::give_up(double grace, const std::string& reason) {
  const std::string head =
      "rank " + std::to_string(rank()) + " in " + to_string(position_) + ": " + reason;
  if (policy_ != nullptr) policy_->gives_up(reason, grace, size());
  std::fill(answers_.begin(), answers_.end(), Answer{});
  take_notes();
  require_all_here();
  if (reporter_ < 0) call_roll(grace);
  claim_report();

  std::string missing;
  std::string elsewhere;
  for (int peer = 0; peer < size(); ++peer) {
    const Answer& answer = answers_[peer];
    if (!answer.present) {
      missing += (missing.empty() ? "rank " : ", rank ") + std::to_string(peer);
    } else if (answer.position != position_) {
      elsewhere += "; rank " + std::to_string(peer) + " is in " + to_string(answer.position);
    } else if (answer.busy && is_in_setup() && peer != rank()) {
      elsewhere += "; rank " + std::to_string(peer) + " is at work";
    }
  }
  std::string text = head;
  if (!missing.empty()) text += "; no answer from " + missing + " (dead, stopped or computing)";
  throw GaveUp(text + elsewhere);
}

BlockingCallScope::BlockingCallScope(const Watch& watch, const std::string& what, bool on_all)
    : policy_(watch.policy()) {
  if (policy_ == nullptr) return;
  policy_->call_begins({.what = what, .deadline = watch.deadline(), .on_all = on_all});
}

BlockingCallScope::~BlockingCallScope() {
  if (policy_ != nullptr) policy_->call_ends();
}

void settle_reporter(Watch& watch, const std::function<void()>& work) {
  try {
    work();
  } catch (const std::exception& error) {
    if (dynamic_cast<const ReporterKnown*>(&error) == nullptr) watch.claim_report();
    throw;
  }
}

}  // namespace hashep
