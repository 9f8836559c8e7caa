// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "benchmarks/rank_harness.hpp"
#include "comm/watch.hpp"
#include "core/cuda/device_buffer.hpp"
#include "core/cuda/stream.hpp"
#include "hashep/tensor_view.hpp"

namespace hashep::bench {

/// One stream of the current GPU, and waits for it that cannot hang: they go through the Watch.
class DeviceQueue {
 public:
  /// `watch` must outlive it.
  explicit DeviceQueue(Watch& watch) : watch_(watch) {}

  DeviceStream stream() const { return stream_; }
  /// Called again and again while this waits; throws where what is waited for has failed.
  void set_check(std::function<void()> check) { check_ = std::move(check); }

  /// Returns when all that the stream was asked for is done.
  void wait();
  /// Copies `bytes` of host memory to GPU memory, and waits.
  void upload(void* to, const void* from, int64_t bytes);
  /// Rows of GPU memory as rows in host memory, there until the next call. Waits.
  MatrixView download(ConstMatrixView rows);

 private:
  Watch& watch_;
  std::function<void()> check_;
  CudaStream stream_;
  CudaEvent done_;
  PinnedBuffer to_gpu_;
  PinnedBuffer from_gpu_;
};

/// Fills rows in GPU memory with NaN, in stream order.
void poison(MatrixView rows, DeviceStream stream);

/// The clock of a queue's GPU: events between the steps.
class DeviceClock final : public StepClock {
 public:
  explicit DeviceClock(DeviceQueue& queue) : queue_(queue) {}
  void start() override;
  void lap() override;
  std::vector<double> laps() override;

 private:
  DeviceQueue& queue_;
  std::vector<CudaEvent> events_;  // kept for the next samples
  size_t recorded_ = 0;
};

}  // namespace hashep::bench
