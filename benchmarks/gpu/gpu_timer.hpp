// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "benchmarks/harness.hpp"
#include "core/cuda/device.hpp"
#include "core/cuda/stream.hpp"
#include "launch/process/result_json.hpp"

namespace hashep::bench {

/// Where the samples of a GPU benchmark come from, and what its rows share.
struct GpuRun {
  GpuInfo gpu;
  Sampling sampling{.warmup = 3, .samples = 30};
  MeasuredRow row;  // name, samples and wrong to be filled
};

/// Work to be timed on a stream. Called with the number of the sample, so that it may take turns
/// among inputs.
using GpuWork = std::function<void(int64_t sample, DeviceStream stream)>;

/// Times things in turn, sample by sample, between two events each. Returns microseconds.
std::vector<std::vector<double>> time_on_gpu(const Sampling& sampling,
                                             std::span<const GpuWork> things);

/// Polls until `ready`; throws RunError, naming `what`, after 20 s.
void poll_until(const std::function<bool()>& ready, const std::string& what);

/// A row of the result: prints it with `note`, and returns it.
MeasuredRow make_row(const GpuRun& run, const std::string& name, std::vector<double> samples,
                     std::optional<int64_t> wrong, const std::string& note);

}  // namespace hashep::bench
