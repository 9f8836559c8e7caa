// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>

#include "benchmarks/rank_harness.hpp"
#include "core/device_stream.hpp"
#include "hashep/tensor_view.hpp"

namespace hashep::bench {

/// Memory that a device's rows stand in.
class BenchMemory {
 public:
  virtual ~BenchMemory() = default;
  /// Makes room; growing drops the contents.
  virtual void reserve(int64_t bytes) = 0;
  virtual std::byte* data() = 0;
  /// The first rows * cols elements.
  MatrixView matrix(DType dtype, int64_t rows, int64_t cols) { return {data(), dtype, rows, cols}; }
};

/// A buffer as that, made from `arguments`.
template <typename AnyBuffer>
class BenchMemoryOf final : public BenchMemory {
 public:
  template <typename... Arguments>
  explicit BenchMemoryOf(Arguments&... arguments) : buffer_(arguments...) {}
  void reserve(int64_t bytes) override { buffer_.reserve(bytes); }
  std::byte* data() override { return buffer_.data(); }

 private:
  AnyBuffer buffer_;
};

/// What a rank's benchmark runs on: a CPU, where work is done when its call returns, or one stream
/// of a GPU. Not thread-safe.
class BenchDevice {
 public:
  virtual ~BenchDevice() = default;

  /// As results name it: cpu or cuda.
  virtual std::string_view name() const = 0;
  virtual std::unique_ptr<BenchMemory> make_memory() = 0;
  /// The order that work is asked for in; null on a CPU.
  virtual DeviceStream stream() const = 0;
  /// Called again and again while this waits; throws where what is waited for has failed.
  virtual void set_check(std::function<void()> check) = 0;

  /// Returns when all that was asked for is done.
  virtual void wait() = 0;
  /// Copies `bytes` of host memory to the device's memory, unless they stand there. Waits.
  virtual void upload(void* to, const void* from, int64_t bytes) = 0;
  /// Rows of the device's memory as rows in host memory, there until the next call: on a CPU the
  /// rows themselves. Waits.
  virtual MatrixView download(MatrixView rows) = 0;
  /// Fills rows with NaN, so that nothing passes by what was there before. In stream order.
  virtual void poison(MatrixView rows) = 0;
  /// Leaves nothing of the last sample in the caches: otherwise what happens to run after its like
  /// finds its rows there. Waits.
  virtual void scrub() = 0;
  virtual StepClock& clock() = 0;
};

}  // namespace hashep::bench
