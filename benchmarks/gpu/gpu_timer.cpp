// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/gpu/gpu_timer.hpp"

#include <chrono>
#include <utility>

#include "hashep/error.hpp"

namespace hashep::bench {
namespace {

constexpr std::chrono::seconds kLongestWait{20};  // less than tests/gpu/run.sh gives a benchmark

}  // namespace

void poll_until(const std::function<bool()>& ready, const std::string& what) {
  const auto limit = std::chrono::steady_clock::now() + kLongestWait;
  while (!ready()) {
    if (std::chrono::steady_clock::now() > limit) {
      throw RunError("no end of " + what + " after " + std::to_string(kLongestWait.count()) + " s");
    }
  }
}

std::vector<std::vector<double>> time_on_gpu(const Sampling& sampling,
                                             std::span<const GpuWork> things) {
  const CudaStream stream;
  const CudaEvent begin(CudaEvent::Kind::timing);
  const CudaEvent end(CudaEvent::Kind::timing);
  std::vector<std::vector<double>> samples(things.size());
  for (int round = -sampling.warmup; round < sampling.samples; ++round) {
    for (size_t i = 0; i < things.size(); ++i) {
      begin.record(stream);
      things[i](round + sampling.warmup, stream);
      end.record(stream);
      poll_until([&] { return end.is_done(); }, "a sample");
      if (round >= 0) samples[i].push_back(microseconds_between(begin, end));
    }
  }
  return samples;
}

MeasuredRow make_row(const GpuRun& run, const std::string& name, std::vector<double> samples,
                     std::optional<int64_t> wrong, const std::string& note) {
  MeasuredRow row = run.row;
  row.name = name;
  row.samples_us = std::move(samples);
  row.wrong = wrong;
  print_row(row, note);
  return row;
}

}  // namespace hashep::bench
