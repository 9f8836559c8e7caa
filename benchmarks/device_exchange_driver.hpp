// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "benchmarks/device_queue.hpp"
#include "comm/exchange/transport.hpp"
#include "core/cuda/device_buffer.hpp"

namespace hashep::bench {

/// A transport between GPUs with the exchange of one plan, as a layer without experts would ask for
/// it: all in a queue's order, nothing of it waits but `describe`.
class DeviceExchangeDriver {
 public:
  /// `queue` must outlive it, and so must what a borrowed `transport` points to.
  DeviceExchangeDriver(Transport& transport, DeviceQueue& queue)
      : transport_(transport), queue_(queue), exchange_(transport.make_exchange()) {}

  std::string_view name() const { return transport_.name(); }
  Transport& transport() { return transport_; }

  /// Makes room for the first of `plans`, and takes its arrays to the GPU. Waits. Collective.
  void describe(std::span<const ExchangePlan> plans, DType dtype, int64_t hidden_size);

  /// All parts at once. x: [tokens, hidden_size] in GPU memory.
  void dispatch(ConstMatrixView x);
  /// weights: [tokens * top_k] in GPU memory, or empty.
  void combine(std::span<const float> weights);

  /// Where dispatch lands [total_recv, hidden_size], and what combine writes [tokens, hidden_size];
  /// in GPU memory.
  MatrixView expert_rows() const { return transport_.expert_rows(*plan_); }
  MatrixView output() const { return output_.matrix(dtype_, plan_->tokens, hidden_size_); }

 private:
  Transport& transport_;
  DeviceQueue& queue_;
  std::unique_ptr<Exchange> exchange_;
  const ExchangePlan* plan_ = nullptr;
  DType dtype_ = DType::f32;
  int64_t hidden_size_ = 0;
  DeviceBuffer arrays_;
  DeviceBuffer output_;
};

}  // namespace hashep::bench
