// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <memory>
#include <optional>

#include "comm/exchange/device_transport.hpp"
#include "comm/exchange/transport.hpp"
#include "comm/watch.hpp"
#include "core/cuda/device_buffer.hpp"
#include "core/cuda/graph.hpp"
#include "core/cuda/stream.hpp"
#include "hashep/buffer.hpp"

namespace hashep::test {

/// Drives a transport between GPUs as one between CPUs, so that the checks made for those fit it
/// too: rows are copied to the GPU and back, and the host waits for each exchange, under the Watch.
class HostDrivenTransport final : public Transport {
 public:
  /// `graph`: each dispatch and each combine is captured, and replayed once.
  HostDrivenTransport(std::unique_ptr<DeviceTransport> transport, Watch& watch, bool graph);
  ~HostDrivenTransport() override;

  std::string_view name() const override { return transport_->name(); }
  void reserve(std::span<const ExchangePlan> plans, DType dtype, int64_t hidden_size) override;
  MatrixView dispatch(const ExchangePlan& plan, ConstMatrixView x) override;
  void combine(const ExchangePlan& plan, std::span<const float> weights, ConstMatrixView shared,
               MatrixView y) override;
  int64_t buffer_bytes() const override { return transport_->buffer_bytes(); }

 private:
  void prepare(const ExchangePlan& plan);
  void run(const std::function<void()>& work);
  void wait();
  /// A copy in GPU memory, or back.
  void upload(DeviceBuffer& to, const void* from, int64_t bytes);
  void download(void* to, const std::byte* from, int64_t bytes);

  std::unique_ptr<DeviceTransport> transport_;
  Watch& watch_;
  bool graph_;
  CudaStream stream_;
  CudaEvent done_;
  std::unique_ptr<DeviceExchange> exchange_;
  std::optional<CudaGraph> captured_;
  DType dtype_ = DType::f32;
  int64_t hidden_size_ = 0;
  PinnedBuffer staging_;
  DeviceBuffer arrays_;
  DeviceBuffer x_;
  DeviceBuffer y_;
  DeviceBuffer weights_;
  DeviceBuffer shared_;
  Buffer host_rows_;
};

}  // namespace hashep::test
