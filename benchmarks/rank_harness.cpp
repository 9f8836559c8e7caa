// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/rank_harness.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "comm/gather.hpp"

namespace hashep::bench {
namespace {

constexpr double kShortStep = 100.0;    // microseconds: shorter steps are run in bursts
constexpr double kBurstLength = 200.0;  // microseconds of each step in a burst
constexpr int kLongestBurst = 64;       // runs

/// One thing, and what this rank's clock says of it.
class Meter {
 public:
  explicit Meter(const RankTimed& thing)
      : thing_(thing), samples_(thing.steps.size()), sums_(thing.steps.size()) {}

  /// One sample: after a barrier, `burst` runs of the steps.
  void take(Watch& watch) {
    if (thing_.prepare) thing_.prepare();
    std::fill(sums_.begin(), sums_.end(), 0.0);
    watch.barrier();
    Clock::time_point begin = Clock::now();
    for (int run = 0; run < burst_; ++run) {
      for (size_t step = 0; step < thing_.steps.size(); ++step) {
        if (burst_ == 1 && step > 0) {
          watch.barrier();
          begin = Clock::now();
        }
        thing_.steps[step]();
        const Clock::time_point end = Clock::now();
        sums_[step] += std::chrono::duration<double, std::micro>(end - begin).count();
        begin = end;
      }
    }
    for (size_t step = 0; step < sums_.size(); ++step)
      samples_[step].push_back(sums_[step] / burst_);
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
    if (!thing_.repeatable || shortest >= kShortStep) return;
    const double runs = std::ceil(kBurstLength / std::max(shortest, kBurstLength / kLongestBurst));
    burst_ = static_cast<int>(runs);
  }

  std::vector<RankSamples> results(const Communicator& comm, Watch& watch) const {
    std::vector<RankSamples> results;
    for (const std::vector<double>& own : samples_) {
      RankSamples result;
      result.max_us = reduce_max(comm, watch, own);
      result.rank_median_min = reduce_min(comm, watch, {median(own)}).front();
      result.rank_median_max = reduce_max(comm, watch, std::vector<double>{median(own)}).front();
      result.burst = burst_;
      results.push_back(std::move(result));
    }
    return results;
  }

 private:
  using Clock = std::chrono::steady_clock;

  const RankTimed& thing_;
  int burst_ = 1;
  std::vector<std::vector<double>> samples_;  // [step]
  std::vector<double> sums_;                  // [step]
};

}  // namespace

std::vector<std::vector<RankSamples>> time_in_turn_on_ranks(const Communicator& comm, Watch& watch,
                                                            const Sampling& sampling,
                                                            std::span<const RankTimed> things) {
  std::vector<Meter> meters(things.begin(), things.end());
  // Without a warm-up one round is still needed to tell the bursts by.
  for (int round = 0; round < std::max(1, sampling.warmup); ++round) {
    for (Meter& meter : meters) meter.take(watch);
  }
  for (Meter& meter : meters) meter.end_warmup(comm, watch);
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
