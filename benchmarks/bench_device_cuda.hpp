// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <utility>
#include <vector>

#include "benchmarks/bench_device.hpp"
#include "comm/watch.hpp"
#include "core/cuda/device_buffer.hpp"
#include "core/cuda/stream.hpp"

namespace hashep::bench {

/// One stream of the current GPU. Waits for it cannot hang: they go through the Watch.
class CudaBenchDevice final : public BenchDevice {
 public:
  /// `watch` must outlive it. l2_bytes: of the GPU's cache.
  CudaBenchDevice(Watch& watch, int64_t l2_bytes);

  std::string_view name() const override { return "cuda"; }
  std::unique_ptr<BenchMemory> make_memory() override;
  DeviceStream stream() const override { return stream_; }
  void set_check(std::function<void()> check) override { check_ = std::move(check); }

  void wait() override;
  void upload(void* to, const void* from, int64_t bytes) override;
  MatrixView download(MatrixView rows) override;
  void poison(MatrixView rows) override;
  void scrub() override;
  StepClock& clock() override { return clock_; }

 private:
  /// Events between the steps.
  class EventClock final : public StepClock {
   public:
    explicit EventClock(CudaBenchDevice& device) : device_(device) {}
    void start() override;
    void lap() override;
    std::vector<double> laps() override;

   private:
    CudaBenchDevice& device_;
    std::vector<CudaEvent> events_;  // kept for the next samples
    size_t recorded_ = 0;
  };

  Watch& watch_;
  std::function<void()> check_;
  CudaStream stream_;
  CudaEvent done_;
  PinnedBuffer to_gpu_;
  PinnedBuffer from_gpu_;
  DeviceBuffer scrub_;
  EventClock clock_{*this};
};

}  // namespace hashep::bench
