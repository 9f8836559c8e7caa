// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <span>
#include <vector>

#include "comm/watch.hpp"
#include "hashep/phase.hpp"

namespace hashep {

/// One timed phase, for a trace. Times in nanoseconds since the log's origin.
struct PhaseEvent {
  Position position;
  int64_t begin_ns = 0;
  int64_t end_ns = 0;
  int track = 0;  // 1: beside the rank's own work, such as an exchange on a GPU stream of its own
};

/// Times the phases of a run on one rank, and tells the Watch where the rank is. All memory is
/// taken when the log is made. Of each phase the newest samples are kept.
class PhaseLog {
 public:
  static constexpr int64_t kMaxSamples = 65536;            // per phase
  static constexpr int64_t kMaxEvents = int64_t{1} << 18;  // of a trace: 10 MB

  /// `watch` may be null (no MPI). `max_samples`: samples to expect per phase. With `trace` the
  /// first kMaxEvents events are kept too.
  PhaseLog(Watch* watch, int64_t max_samples, bool trace);

  /// Time now counts as zero in events.
  void set_origin();
  /// The step that phases belong to from now on.
  void set_step(int64_t step) { step_ = step; }
  int64_t step() const { return step_; }

  /// Durations of a phase in microseconds, oldest first.
  std::vector<double> samples(Phase phase) const;
  std::span<const PhaseEvent> events() const { return events_; }
  /// Forgets all samples and events (after a warm-up).
  void clear();

  /// Takes a phase that a device has timed.
  void add(const PhaseEvent& event) { record(event); }
  /// Nanoseconds since the origin.
  int64_t now_ns() const;

  /// Times from its making to its end. May stand inside another. Throws where a stop signal has
  /// come.
  class Scope {
   public:
    Scope(PhaseLog& log, Phase phase, int64_t layer = -1);
    ~Scope();
    Scope(const Scope&) = delete;
    Scope& operator=(const Scope&) = delete;

   private:
    PhaseLog& log_;
    Position position_;
    Position outer_;  // where the rank was before
    int64_t begin_ns_;
  };

 private:
  struct Samples {
    std::vector<float> ring;  // microseconds
    int64_t count = 0;
  };

  void record(const PhaseEvent& event);

  Watch* watch_;
  std::chrono::steady_clock::time_point origin_;
  int64_t step_ = -1;
  int64_t capacity_;
  std::array<Samples, kNumPhases> samples_;
  bool trace_;
  std::vector<PhaseEvent> events_;
};

}  // namespace hashep
