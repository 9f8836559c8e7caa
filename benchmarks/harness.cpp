// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/harness.hpp"

#include "launch/process/standard_streams.hpp"

#include <chrono>
#include <cstdio>

namespace hashep::bench {

std::vector<std::vector<double>> time_in_turn(const Sampling& sampling,
                                              std::span<const Timed> things) {
  using Clock = std::chrono::steady_clock;
  std::vector<std::vector<double>> samples(things.size());
  for (int round = -sampling.warmup; round < sampling.samples; ++round) {
    for (size_t i = 0; i < things.size(); ++i) {
      things[i].prepare();
      const Clock::time_point begin = Clock::now();
      things[i].run();
      const std::chrono::duration<double, std::micro> elapsed = Clock::now() - begin;
      if (round >= 0) samples[i].push_back(elapsed.count());
    }
  }
  return samples;
}

void print_row(const MeasuredRow& row, const std::string& note) {
  std::printf("%-10s  %-34s  %-4s  median %10.1f us  p90 %10.1f us  min %10.1f us  %s\n",
              row.name.c_str(), row.workload.value_or("").c_str(), row.dtype.value_or("").c_str(),
              median(row.samples_us), percentile(row.samples_us, 0.9),
              percentile(row.samples_us, 0.0), note.c_str());
  flush_stdout();
}

}  // namespace hashep::bench
