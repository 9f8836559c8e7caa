// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <memory>
#include <optional>

#include "comm/watch.hpp"
#include "core/cuda/device_buffer.hpp"
#include "core/cuda/graph.hpp"
#include "core/cuda/stream.hpp"
#include "hashep/buffer.hpp"
#include "tests/support/exchange_driver.hpp"

namespace hashep::test {

/// Of a transport between GPUs: rows are copied to the GPU and back, and the host waits for each
/// exchange, under the Watch.
class DeviceDriver final : public ExchangeDriver {
 public:
  /// `graph`: each dispatch and each combine is captured, and replayed once.
  DeviceDriver(std::unique_ptr<Transport> transport, Watch& watch, bool graph);
  ~DeviceDriver() override;

  void begin(const ExchangePlan& plan, DType dtype, int64_t hidden_size) override;
  MatrixView dispatch(ConstMatrixView x) override;
  void combine(std::span<const float> weights, ConstMatrixView shared, MatrixView y) override;

 private:
  void run(const std::function<void()>& work);
  void wait();
  /// A copy in GPU memory, or back.
  void upload(DeviceBuffer& to, const void* from, int64_t bytes);
  void download(void* to, const std::byte* from, int64_t bytes);

  std::unique_ptr<Transport> transport_;
  Watch& watch_;
  bool graph_;
  CudaStream stream_;
  CudaEvent done_;
  std::unique_ptr<Exchange> exchange_;
  std::optional<CudaGraph> captured_;
  MatrixView rows_;
  PinnedBuffer staging_;
  DeviceBuffer arrays_;
  DeviceBuffer x_;
  DeviceBuffer y_;
  DeviceBuffer weights_;
  DeviceBuffer shared_;
  Buffer host_rows_;
};

}  // namespace hashep::test
