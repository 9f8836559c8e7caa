// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <chrono>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "hashep/failure_policy.hpp"

namespace hashep {

/// What a program of several ranks does about ranks that are lost or stuck: from the first line of
/// its main to its end a thread, which calls nothing of MPI, looks at the rank, and speaks where
/// the rank itself cannot, as it sits inside of MPI:
/// - in a stage without deadlines of its own (MPI_Init, MPI_Finalize) that takes too long, or in
///   which a stop signal comes: one line, and the end of the process, which ends the job;
/// - while the rank gives up, or should see a stop signal, and MPI does not return: a launcher may
///   kill the rank in a second;
/// - while a call that cannot be polled does not return (BlockingCall).
/// What the line says is what the rank knew before. Of several ranks one is to speak, without a
/// word between them: see the .cpp. Used by one thread, but where it says otherwise.
class Watchdog final : public FailurePolicy {
 public:
  /// Which rank this is, and which of its node, as far as it is known before MPI is up; -1:
  /// unknown.
  struct Place {
    int rank = -1;
    int local_rank = -1;
  };

  /// `program`: what its line begins with. `stop_signal`: see Watch; may be null. The stage "start"
  /// begins.
  Watchdog(std::string program, const volatile int* stop_signal, Place place);
  ~Watchdog() override = default;
  Watchdog(const Watchdog&) = delete;
  Watchdog& operator=(const Watchdog&) = delete;

  /// Seconds that a stage may take. The first ones count together, from the start of the program.
  void set_deadline(double seconds);
  /// A stage that cannot be polled begins.
  void enter(const std::string& stage);
  /// From now on the rank waits with a Watch.
  void leave();
  void set_rank(int rank);

  /// The process ends with `code`, without a word, where it is still there in some seconds.
  void end_soon(int code);

  /// Whether the caller is to print the job's error: true once in the life of a process.
  bool claim_error_line() { return !spoken_.exchange(true); }

  void at(const Position& position) noexcept override;
  void makes_progress() noexcept override { progress_.fetch_add(1, std::memory_order_relaxed); }
  void sends_to(int peer) noexcept override { peer_.store(peer, std::memory_order_relaxed); }
  void hears_of(int peer) noexcept override;
  void gives_up(const std::string& reason, double grace, int size) noexcept override;
  /// The rank has the deadline, and some seconds, to end by itself.
  void reporter_is_known() noexcept override;
  void call_begins(const BlockingCall& call) noexcept override;
  void call_ends() noexcept override;

 private:
  using Clock = std::chrono::steady_clock;

  void run(const std::stop_token& done);
  void look(Clock::time_point now);
  void look_at_stage(Clock::time_point now);
  void look_at_calls(Clock::time_point now);
  void look_at_rank(Clock::time_point now);
  void speak(const std::string& where, const std::string& text);
  /// Whether this rank, stuck in MPI, is to speak, so long after its patience ended.
  bool speaks_when_stuck(Clock::duration overdue) const;
  std::string silent_ranks() const;
  Position position() const;

  const std::string program_;
  const volatile int* const stop_signal_;

  std::atomic<bool> spoken_ = false;
  std::atomic<int64_t> phase_ = 0;
  std::atomic<int64_t> step_ = -1;
  std::atomic<int64_t> layer_ = -1;
  std::atomic<int64_t> progress_ = 0;
  std::atomic<int> peer_ = -1;

  std::mutex mutex_;  // of what follows
  Place place_;
  double deadline_;
  std::string stage_ = "start";  // empty: none
  Clock::time_point stage_begin_ = Clock::now();
  struct Call {
    BlockingCall call;
    Clock::time_point begin;
  };
  std::vector<Call> calls_;  // the outermost first
  std::string reason_;       // empty: it does not give up
  std::vector<bool> heard_;  // [size], since then
  Clock::time_point give_up_limit_;
  bool settled_ = false;
  Clock::time_point end_limit_ = Clock::time_point::max();
  int end_code_ = 0;
  // What the thread has seen.
  Clock::time_point last_look_ = Clock::now();
  bool was_stopped_ = false;
  Clock::time_point signal_seen_ = Clock::time_point::max();
  int64_t progress_at_signal_ = 0;

  std::jthread thread_;
};

}  // namespace hashep
