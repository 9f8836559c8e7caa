// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mpi.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "comm/communicator.hpp"
#include "hashep/error.hpp"
#include "hashep/failure_policy.hpp"
#include "hashep/phase.hpp"

namespace hashep {

/// Base of errors of which it is settled which rank prints them, so that a job prints one line.
class ReporterKnown {
 public:
  explicit ReporterKnown(bool is_reporter) : is_reporter_(is_reporter) {}
  virtual ~ReporterKnown() = default;
  bool is_reporter() const { return is_reporter_; }

 private:
  bool is_reporter_;
};

/// A wait has given up, and this rank is to report it.
class GaveUp : public RunError, public ReporterKnown {
 public:
  explicit GaveUp(const std::string& text) : RunError(text), ReporterKnown(true) {}
};

/// A failure that another rank has undertaken to report: end quietly.
class ReportedByPeer : public RunError, public ReporterKnown {
 public:
  explicit ReportedByPeer(int reporter)
      : RunError("rank " + std::to_string(reporter) + " reports"), ReporterKnown(false) {}
};

/// Another rank has said that it will not come to what this one waits for (Watch::leave).
class PeerLeft : public RunError, public ReporterKnown {
 public:
  PeerLeft(int rank, const std::string& reason)
      : RunError("rank " + std::to_string(rank) + " has left: " + reason), ReporterKnown(false) {}
};

/// Waits that cannot hang. Every wait of the MPI side goes through `wait`, which gives up shortly
/// before the deadline, calls the roll, and throws GaveUp naming the ranks that do not answer and
/// where this rank was, or ReportedByPeer where another rank does. The roll is called over a
/// communicator of its own: a rank asks all others, ranks that wait answer at once with their
/// position, a rank that died or stalls (or computes for longer than the deadline) does not. A stop
/// signal (SIGINT, SIGTERM) ends a wait in the same way, which is how the survivors of a killed
/// rank come to name it.
class Watch {
 public:
  /// Collective (duplicates `comm`). `deadline`: seconds a wait may take in all. `stop_signal` may
  /// be null; it points to a flag that a signal handler sets to the signal's number.
  Watch(const Communicator& comm, double deadline, const volatile int* stop_signal);
  /// Gives its communicator back, but where notes were sent to others or have come from them (after
  /// long waits, and errors that a rank met alone): some may be on their way still. Local.
  ~Watch();
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;

  /// `policy`, which must outlive it, is told where this rank is and what it meets; null: nobody
  /// is.
  void set_policy(FailurePolicy* policy);
  FailurePolicy* policy() const { return policy_; }

  /// While the phase is set-up, ranks may be at work of their own for longer than the deadline, up
  /// to `seconds` from now: a wait goes on as long as all show signs of life, by `check_in` or in
  /// waits of their own. Rank 0 asks all for them, the others ask rank 0. On all ranks.
  void allow_setup(double seconds);

  /// States where this rank is from now on.
  void at(Position position);
  const Position& position() const { return position_; }

  int rank() const { return control_.rank(); }
  int size() const { return control_.size(); }

  /// Seconds a wait may take.
  double deadline() const { return deadline_; }

  /// Completes `request`, polling, and yielding the core when polling has been in vain for a while.
  void wait(MPI_Request& request);
  /// The same for a request that reads or writes `memory`. Where the wait is given up, MPI may
  /// still do so, and the memory is kept until the process ends.
  void wait(MPI_Request& request, std::shared_ptr<void> memory);

  /// Polls `ready` until it is true, under the same rules: `spins` times at once, then yielding the
  /// core between polls. `what()` tells, for the error, what is waited for.
  template <typename Ready, typename What>
  void wait_until(int spins, Ready&& ready, What&& what) {
    for (int spin = 0; spin < spins; ++spin) {
      if (ready()) return;
      if (spin == 0) move_on();
    }
    Patience patience = start_waiting();
    while (!ready()) {
      if (!is_patient(patience)) give_up(patience.grace, timeout_text() + what());
    }
  }

  /// Moves `request`, which is pending, on in all waits until it is complete: MPI may do nothing
  /// for it while a rank computes and waits for others in shared memory or for a GPU. It must stay
  /// where it is until it is forgotten. `when_done`: called once a wait finds it complete.
  void poll_in_waits(MPI_Request& request, std::function<void()> when_done = {}) {
    polled_.push_back({&request, std::move(when_done)});
  }
  void forget(MPI_Request& request) noexcept {
    std::erase_if(polled_, [&](const Polled& each) { return each.request == &request; });
  }

  /// Throws, as a wait would, where a stop signal has come. For loops that do not wait.
  void check_stop();
  /// The same, and a sign of life for others that wait: for work that takes long, such as reading
  /// weights. Makes MPI progress.
  void check_in();

  /// A barrier under the deadline. Collective.
  void barrier() { barrier(control_); }
  /// The same over some of the ranks. Collective over `among`.
  void barrier(const Communicator& among);

  /// Before a rank ends the job over an error that other ranks may meet at the same moment: claims
  /// the report. Throws ReportedByPeer where another rank has claimed it, or does so now and is
  /// lower. Makes MPI progress: the buffers of pending exchanges must still be there. Local.
  void claim_report();

  /// Tells the others that this rank will not come to what they wait for: their waits throw
  /// PeerLeft from then on. `reason`: up to kLongestReason bytes of it travel. Local; makes MPI
  /// progress.
  void leave(const std::string& reason);
  static constexpr size_t kLongestReason = 500;

  /// Number of collectives begun through `count_collective`, for reports and tests.
  int64_t collectives() const { return collectives_; }
  void count_collective() { ++collectives_; }

 private:
  using Clock = std::chrono::steady_clock;

  /// How long a wait goes on.
  struct Patience {
    std::chrono::time_point<Clock, std::chrono::duration<double>> limit;  // may be far away
    Clock::time_point next_notes;
    double grace = 0.0;  // seconds kept for the roll call
    Clock::time_point begin;
    Clock::time_point next_question;  // in set-up
  };
  Patience start_waiting() const;
  /// When set-up asks for signs of life, from now on: not in short waits.
  Clock::time_point next_question(Clock::time_point now) const;
  /// Tests the requests that waits poll.
  void move_on();
  /// Yields the core, and polls requests, notes and signals. False past the limit.
  bool is_patient(Patience& patience);
  /// The same in set-up, after notes were taken.
  bool hears_of_all(Patience& patience, Clock::time_point now);
  bool is_in_setup() const { return setup_seconds_ > 0.0 && position_.phase == Phase::setup; }
  std::string timeout_text() const;

  struct Polled {
    MPI_Request* request;
    std::function<void()> when_done;  // may be empty
  };

  struct Answer {
    bool present = false;
    Position position;
    bool busy = false;            // at work of its own, not waiting
    Clock::time_point when = {};  // of the last note
  };

  /// Tells a peer where this rank is.
  void send_note(int peer, int tag);
  void send_to_all(int tag);
  /// Takes all notes that have come: answers questions, records answers and reports.
  void take_notes();
  void call_roll(double grace);
  /// Takes the reason that `peer` leaves for.
  void take_reason(int peer);
  /// Throws PeerLeft where a rank has left.
  void require_all_here() const;
  /// Leaves in reporter_ the rank that reports; -1: this one.
  void settle_reporter();
  [[noreturn]] void give_up(double grace, const std::string& reason);

  Communicator control_;
  double deadline_;
  const volatile int* stop_signal_;
  Position position_;
  std::vector<Answer> answers_;  // [size]
  // What send_note sends: phase, step, layer, busy.
  std::shared_ptr<std::array<int64_t, 4>> note_ = std::make_shared<std::array<int64_t, 4>>();
  bool has_notes_ = false;      // has sent some, or got some
  bool busy_ = true;            // not in a wait
  double setup_seconds_ = 0.0;  // see allow_setup; 0: none
  Clock::time_point setup_limit_ = {};
  Clock::time_point next_check_in_ = {};
  FailurePolicy* policy_ = nullptr;
  int reporter_ = -1;  // lowest rank that has said it reports; -1: none
  std::optional<std::pair<int, std::string>> left_;  // the first rank that has left, and why
  int64_t collectives_ = 0;
  std::vector<Polled> polled_;  // not found complete yet
};

/// Stands for a call that cannot be polled, for as long as it lasts: the Watch's policy hears of
/// it.
class BlockingCallScope {
 public:
  /// `what`: what the call does, for an error. `on_all`: see BlockingCall.
  BlockingCallScope(const Watch& watch, const std::string& what, bool on_all = false);
  /// The call has returned.
  ~BlockingCallScope();
  BlockingCallScope(const BlockingCallScope&) = delete;
  BlockingCallScope& operator=(const BlockingCallScope&) = delete;

 private:
  FailurePolicy* policy_;
};

/// Runs `work`; where it throws, settles which rank reports before the error leaves, since other
/// ranks may fail alike, and exchanges may still write to what `work` refers to.
void settle_reporter(Watch& watch, const std::function<void()>& work);

}  // namespace hashep
