// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <span>
#include <vector>

#include "benchmarks/harness.hpp"
#include "comm/communicator.hpp"
#include "comm/watch.hpp"

namespace hashep::bench {

/// Something that all ranks do together, in steps that are timed each by itself: dispatch and
/// combine, say, which a transport demands in turn.
struct RankTimed {
  std::function<void()> prepare;  // untimed, before each sample; may be empty
  std::vector<std::function<void()>> steps;
  bool repeatable = true;   // false: `prepare` must come before each run of the steps
  double short_us = 100.0;  // steps shorter than this are run in bursts
  // The thing that this one is compared with: its bursts have as many runs.
  std::optional<size_t> burst_of = std::nullopt;
};

/// The samples of one step, in microseconds.
struct RankSamples {
  std::vector<double> max_us;    // each the slowest rank's
  double rank_median_min = 0.0;  // of the ranks' own medians the smallest ...
  double rank_median_max = 0.0;  // ... and the largest
  int burst = 1;                 // runs that a sample is the mean of
};

/// From each rank's own samples, the mean of `burst` runs each. Collective.
RankSamples reduce_samples(const Communicator& comm, Watch& watch, std::span<const double> own,
                           int burst);

/// What tells how long steps took.
class StepClock {
 public:
  virtual ~StepClock() = default;
  virtual void start() = 0;  // before the first step
  virtual void lap() = 0;    // after each
  /// Microseconds of each lap since `start`. Waits until their work is done.
  virtual std::vector<double> laps() = 0;
};

/// By default: the host's clock, read when a step's call returns.
class HostClock final : public StepClock {
 public:
  HostClock();
  void start() override;
  void lap() override;
  std::vector<double> laps() override;

 private:
  std::vector<std::chrono::steady_clock::time_point> times_;
};

/// Times things in turn, sample by sample, so that a drift of the machine meets all alike. There is
/// no clock that ranks share: each rank's own clock runs from where it leaves a barrier to where
/// its call returns, and a sample is the maximum over ranks. A rank that leaves the barrier late
/// makes the others' samples longer by as much, which only matters where a step takes a few
/// microseconds; so steps shorter than their `short_us` are run in bursts of twice that, up to 64
/// after one barrier, and a sample is their mean: there a step also holds the time that a rank
/// waits for peers which are still in the step before. The length of a burst is found in the
/// warm-up and is the same on all ranks. Returns [thing][step]. Collective.
std::vector<std::vector<RankSamples>> time_in_turn_on_ranks(const Communicator& comm, Watch& watch,
                                                            const Sampling& sampling,
                                                            std::span<const RankTimed> things);
/// The same by another clock.
std::vector<std::vector<RankSamples>> time_in_turn_on_ranks(const Communicator& comm, Watch& watch,
                                                            const Sampling& sampling,
                                                            std::span<const RankTimed> things,
                                                            StepClock& clock);

/// The median of sample / sample of the same round.
double median_ratio(std::span<const double> samples, std::span<const double> references);

}  // namespace hashep::bench
