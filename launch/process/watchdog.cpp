// SPDX-License-Identifier: Apache-2.0
#include "launch/process/watchdog.hpp"

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>

#include "launch/process/exit_code.hpp"

namespace hashep {
namespace {

using std::chrono::milliseconds;

constexpr double kDeadline = 120.0;  // seconds, until the options are known
constexpr auto kLook = milliseconds(50);
constexpr auto kEndLimit = std::chrono::seconds(5);
// Launchers kill about a second after SIGTERM; a rank that is not stuck has spoken by then.
constexpr auto kStageSignalPatience = milliseconds(300);
constexpr auto kCallSignalPatience = milliseconds(300);
constexpr auto kSignalPatience = milliseconds(300);  // more than the Watch's grace
constexpr auto kStuckSignalPatience = milliseconds(600);
constexpr auto kSecondPatience = milliseconds(200);
constexpr auto kGiveUpPatience = std::chrono::seconds(3);  // no launcher presses then
constexpr int kMostNamed = 16;
// Ranks whose deadline ends alike speak in turn: the first one's end ends the others.
constexpr auto kTurn = milliseconds(2000);
constexpr int kMostTurns = 8;
constexpr double kLongestLimit = 3.2e7;  // a year, in seconds: within what the clock can hold
constexpr double kLongestPause = 3.0;  // seconds between looks; after more the process was stopped

/// Whether a rank there may be inside of MPI, and is not at work of its own for long.
bool exchanges(Phase phase) {
  return phase == Phase::plan || phase == Phase::dispatch || phase == Phase::combine ||
         phase == Phase::dispatch_backward || phase == Phase::combine_backward ||
         phase == Phase::sum_gradients || phase == Phase::finish;
}

std::string no_progress_for(double seconds) {
  return "no progress for " + std::to_string(std::llround(seconds)) + " s";
}

/// Starts a thread that takes no signal from the one that called.
std::jthread start_without_signals(std::function<void(const std::stop_token&)> body) {
  sigset_t all;
  sigset_t before;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  std::jthread thread(std::move(body));
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return thread;
}

}  // namespace

Watchdog::Watchdog(std::string program, const volatile int* stop_signal, Place place)
    : program_(std::move(program)),
      stop_signal_(stop_signal),
      place_(place),
      deadline_(kDeadline),
      thread_(start_without_signals([this](const std::stop_token& done) { run(done); })) {}

void Watchdog::set_deadline(double seconds) {
  const std::lock_guard lock(mutex_);
  deadline_ = seconds;
}

void Watchdog::enter(const std::string& stage) {
  const std::lock_guard lock(mutex_);
  if (stage_.empty()) stage_begin_ = Clock::now();
  stage_ = stage;
}

void Watchdog::leave() {
  const std::lock_guard lock(mutex_);
  stage_.clear();
}

void Watchdog::set_rank(int rank) {
  const std::lock_guard lock(mutex_);
  place_.rank = rank;
}

void Watchdog::end_soon(int code) {
  const std::lock_guard lock(mutex_);
  end_limit_ = Clock::now() + kEndLimit;
  end_code_ = code;
}

void Watchdog::at(const Position& position) noexcept {
  phase_.store(static_cast<int64_t>(position.phase), std::memory_order_relaxed);
  step_.store(position.step, std::memory_order_relaxed);
  layer_.store(position.layer, std::memory_order_relaxed);
  makes_progress();
}

void Watchdog::hears_of(int peer) noexcept {
  const std::lock_guard lock(mutex_);
  if (peer < std::ssize(heard_)) heard_[peer] = true;
}

void Watchdog::gives_up(const std::string& reason, double grace, int size) noexcept {
  const std::lock_guard lock(mutex_);
  reason_ = reason;
  heard_.assign(size, false);
  const bool presses = stop_signal_ != nullptr && *stop_signal_ != 0;
  give_up_limit_ =
      Clock::now() + (presses ? kSignalPatience : kGiveUpPatience) +
      std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(grace));
}

void Watchdog::reporter_is_known() noexcept {
  const std::lock_guard lock(mutex_);
  settled_ = true;
  const std::chrono::duration<double> limit(std::min(deadline_, kLongestLimit));
  end_limit_ = Clock::now() + kEndLimit + std::chrono::duration_cast<Clock::duration>(limit);
  end_code_ = kExitFailure;
}

void Watchdog::call_begins(const BlockingCall& call) noexcept {
  const std::lock_guard lock(mutex_);
  calls_.push_back({call, Clock::now()});
}

void Watchdog::call_ends() noexcept {
  const std::lock_guard lock(mutex_);
  calls_.pop_back();
}

Position Watchdog::position() const {
  return {static_cast<Phase>(phase_.load(std::memory_order_relaxed)),
          step_.load(std::memory_order_relaxed), layer_.load(std::memory_order_relaxed)};
}

void Watchdog::speak(const std::string& where, const std::string& text) {
  if (!claim_error_line()) return;
  const std::string rank = place_.rank < 0 ? "in " : "rank " + std::to_string(place_.rank) + " in ";
  print_error(program_, rank + where + ": " + text);
}

void Watchdog::run(const std::stop_token& done) {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  while (!wake.wait_for(lock, done, kLook, [&done] { return done.stop_requested(); })) {
    look(Clock::now());
  }
}

void Watchdog::look(Clock::time_point now) {
  const std::lock_guard lock(mutex_);
  const std::chrono::duration<double> pause = now - last_look_;
  was_stopped_ = was_stopped_ || pause.count() > std::min(kLongestPause, deadline_ / 2);
  last_look_ = now;
  if (stop_signal_ != nullptr && *stop_signal_ != 0 && signal_seen_ == Clock::time_point::max()) {
    signal_seen_ = now;
    progress_at_signal_ = progress_.load(std::memory_order_relaxed);
  }
  if (now >= end_limit_) {
    std::fflush(stderr);
    std::_Exit(end_code_);
  }
  if (!stage_.empty()) {
    look_at_stage(now);
  } else {
    look_at_calls(now);
    look_at_rank(now);
  }
}

// Signals come to all ranks: the first one speaks. Deadlines end on all, too: each speaks in its
// turn, if it is still there. A rank that was stopped itself is the one that others speak of.
void Watchdog::look_at_stage(Clock::time_point now) {
  if (signal_seen_ != Clock::time_point::max()) {
    if (now < signal_seen_ + kStageSignalPatience) return;
    if (place_.rank <= 0 && !was_stopped_) {
      speak(stage_, std::string("stopped by signal ") + strsignal(*stop_signal_));
    }
    std::_Exit(kExitFailure);
  }
  const std::chrono::duration<double> spent =
      now - stage_begin_ - kTurn * std::clamp(place_.rank, 0, kMostTurns);
  if (spent.count() < deadline_) return;
  if (!was_stopped_) {
    speak(stage_,
          no_progress_for(deadline_) + "; another rank is stopped or dead, or was never started");
  }
  std::_Exit(kExitFailure);
}

// Where all ranks may be stuck alike each speaks in its turn, as in a stage.
void Watchdog::look_at_calls(Clock::time_point now) {
  for (const auto& [call, begin] : calls_) {
    const auto turn =
        call.on_all ? kTurn * std::clamp(place_.rank, 0, kMostTurns) : milliseconds(0);
    const bool has_signal = signal_seen_ != Clock::time_point::max();
    if (has_signal && now >= std::max(signal_seen_, begin) + kCallSignalPatience + turn) {
      speak(to_string(position()),
            std::string("stopped by signal ") + strsignal(*stop_signal_) + " while " + call.what);
      std::_Exit(kExitFailure);
    }
    const std::chrono::duration<double> spent = now - begin - turn;
    if (spent.count() >= call.deadline) {
      speak(to_string(position()), no_progress_for(call.deadline) + " while " + call.what);
      std::_Exit(kExitFailure);
    }
  }
}

// A rank that sends to a dead one, or hears that its connection is gone, may not come back from
// MPI. Others may be in the same place, and there is a second in all: rank 0 speaks, or where that
// may be the lost one, rank 1. On rank 0's own node it would not be stuck.
bool Watchdog::speaks_when_stuck(Clock::duration overdue) const {
  if (place_.rank == 0) return true;
  if (place_.rank != 1 || place_.local_rank > 0 || (!heard_.empty() && heard_[0])) return false;
  const int peer = peer_.load(std::memory_order_relaxed);
  return peer == 0 || (peer < 0 && overdue >= kSecondPatience);
}

std::string Watchdog::silent_ranks() const {
  std::string names;
  int count = 0;
  for (int peer = 0; peer < std::ssize(heard_); ++peer) {
    if (peer == place_.rank || heard_[peer] || ++count > kMostNamed) continue;
    names += (names.empty() ? "rank " : ", rank ") + std::to_string(peer);
  }
  if (count > kMostNamed) names += " and " + std::to_string(count - kMostNamed) + " more";
  return names;
}

void Watchdog::look_at_rank(Clock::time_point now) {
  if (settled_) return;
  if (!reason_.empty() && now >= give_up_limit_) {
    const int peer = peer_.load(std::memory_order_relaxed);
    const std::string silent = peer < 0 ? silent_ranks() : "rank " + std::to_string(peer);
    const std::string lost = silent.empty() ? "" : "; no answer from " + silent + ", inside of MPI";
    if (speaks_when_stuck(now - give_up_limit_)) speak(to_string(position()), reason_ + lost);
    if (now >= give_up_limit_ + kEndLimit) std::_Exit(kExitFailure);
    return;
  }
  if (signal_seen_ == Clock::time_point::max() || !exchanges(position().phase) ||
      progress_.load(std::memory_order_relaxed) != progress_at_signal_) {
    return;
  }
  const auto overdue = now - (signal_seen_ + kStuckSignalPatience);
  if (overdue >= Clock::duration::zero() && speaks_when_stuck(overdue)) {
    speak(to_string(position()),
          std::string("stopped by signal ") + strsignal(*stop_signal_) + ", inside of MPI");
  }
  if (now >= signal_seen_ + kEndLimit) std::_Exit(kExitFailure);
}

}  // namespace hashep
