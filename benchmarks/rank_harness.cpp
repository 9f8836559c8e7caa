// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/rank_harness.hpp"

#include <algorithm>
#include <cmath>

#include "comm/gather.hpp"

namespace hashep::bench {
namespace {

constexpr int kLongestBurst = 64;  // runs

/// One thing, and what this rank's clock says of it.
class Meter {
 public:
  Meter(const RankTimed& thing, StepClock& clock)
      : thing_(thing), clock_(clock), samples_(thing.steps.size()) {}

  /// One sample: each step by itself after a barrier, or a burst of all of them.
  void take(Watch& watch) {
    if (thing_.prepare) thing_.prepare();
    if (burst_ > 1) {
      take_burst(watch);
      return;
    }
    for (size_t step = 0; step < samples_.size(); ++step) {
      watch.barrier();
      clock_.start();
      thing_.steps[step]();
      clock_.lap();
      samples_[step].push_back(clock_.laps().front());
    }
  }

  /// After the warm-up: forgets its samples, and sets the burst by the fastest of them.
  void end_warmup(const Communicator& comm, Watch& watch) {
    std::vector<double> fastest;
    for (std::vector<double>& samples : samples_) {
      fastest.push_back(*std::min_element(samples.begin(), samples.end()));
      samples.clear();
    }
    fastest = reduce_max(comm, watch, std::move(fastest));
    const double shortest = *std::min_element(fastest.begin(), fastest.end());
    if (!thing_.repeatable || shortest >= thing_.short_us) return;
    const double length = 2.0 * thing_.short_us;
    const double runs = std::ceil(length / std::max(shortest, length / kLongestBurst));
    burst_ = static_cast<int>(runs);
  }

  int burst() const { return burst_; }
  void set_burst(int burst) { burst_ = burst; }

  std::vector<RankSamples> results(const Communicator& comm, Watch& watch) const {
    std::vector<RankSamples> results;
    for (const std::vector<double>& own : samples_) {
      results.push_back(reduce_samples(comm, watch, own, burst_));
    }
    return results;
  }

 private:
  void take_burst(Watch& watch) {
    watch.barrier();
    clock_.start();
    for (int run = 0; run < burst_; ++run) {
      for (const auto& step : thing_.steps) {
        step();
        clock_.lap();
      }
    }
    const std::vector<double> laps = clock_.laps();
    for (size_t step = 0; step < samples_.size(); ++step) {
      double sum = 0.0;
      for (size_t lap = step; lap < laps.size(); lap += samples_.size()) sum += laps[lap];
      samples_[step].push_back(sum / burst_);
    }
  }

  const RankTimed& thing_;
  StepClock& clock_;
  int burst_ = 1;
  std::vector<std::vector<double>> samples_;  // [step]
};

}  // namespace

HostClock::HostClock() {
  times_.reserve(kLongestBurst * 4);
}

void HostClock::start() {
  times_.clear();
  lap();
}

void HostClock::lap() {
  times_.push_back(std::chrono::steady_clock::now());
}

std::vector<double> HostClock::laps() {
  std::vector<double> laps;
  for (size_t i = 1; i < times_.size(); ++i) {
    laps.push_back(std::chrono::duration<double, std::micro>(times_[i] - times_[i - 1]).count());
  }
  return laps;
}

RankSamples reduce_samples(const Communicator& comm, Watch& watch, std::span<const double> own,
                           int burst) {
  RankSamples samples;
  samples.max_us = reduce_max(comm, watch, {own.begin(), own.end()});
  samples.rank_median_min = reduce_min(comm, watch, {median(own)}).front();
  samples.rank_median_max = reduce_max(comm, watch, std::vector<double>{median(own)}).front();
  samples.burst = burst;
  return samples;
}

std::vector<std::vector<RankSamples>> time_in_turn_on_ranks(const Communicator& comm, Watch& watch,
                                                            const Sampling& sampling,
                                                            std::span<const RankTimed> things) {
  HostClock clock;
  return time_in_turn_on_ranks(comm, watch, sampling, things, clock);
}

std::vector<std::vector<RankSamples>> time_in_turn_on_ranks(const Communicator& comm, Watch& watch,
                                                            const Sampling& sampling,
                                                            std::span<const RankTimed> things,
                                                            StepClock& clock) {
  std::vector<Meter> meters;
  for (const RankTimed& thing : things) meters.emplace_back(thing, clock);
  // Without a warm-up one round is still needed to tell the bursts by.
  for (int round = 0; round < std::max(1, sampling.warmup); ++round) {
    for (Meter& meter : meters) meter.take(watch);
  }
  for (Meter& meter : meters) meter.end_warmup(comm, watch);
  for (size_t i = 0; i < meters.size(); ++i) {
    if (things[i].burst_of) meters[i].set_burst(meters[*things[i].burst_of].burst());
  }
  for (int round = 0; round < sampling.samples; ++round) {
    for (Meter& meter : meters) meter.take(watch);
  }
  std::vector<std::vector<RankSamples>> results;
  for (const Meter& meter : meters) results.push_back(meter.results(comm, watch));
  return results;
}

double median_ratio(std::span<const double> samples, std::span<const double> references) {
  std::vector<double> ratios;
  for (size_t i = 0; i < samples.size(); ++i) ratios.push_back(samples[i] / references[i]);
  return median(ratios);
}

}  // namespace hashep::bench
