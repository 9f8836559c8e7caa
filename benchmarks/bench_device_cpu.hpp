// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "benchmarks/bench_device.hpp"
#include "hashep/buffer.hpp"

namespace hashep::bench {

class CpuBenchDevice final : public BenchDevice {
 public:
  std::string_view name() const override { return "cpu"; }
  std::unique_ptr<BenchMemory> make_memory() override;
  DeviceStream stream() const override { return {}; }
  void set_check(std::function<void()>) override {}

  void wait() override {}
  void upload(void* to, const void* from, int64_t bytes) override;
  MatrixView download(MatrixView rows) override { return rows; }
  void poison(MatrixView rows) override;
  /// Fills the last-level cache with other lines, none of them to be written back.
  void scrub() override;
  StepClock& clock() override { return clock_; }

 private:
  HostClock clock_;
  Buffer lines_;  // of the size of the last-level cache
};

}  // namespace hashep::bench
