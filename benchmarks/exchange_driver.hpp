// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <span>
#include <string_view>

#include "benchmarks/bench_device.hpp"
#include "comm/exchange/transport.hpp"

namespace hashep::bench {

/// A transport with the exchange of one plan, as a layer without experts would ask for it.
class ExchangeDriver {
 public:
  /// Both references must outlive it.
  ExchangeDriver(Transport& transport, BenchDevice& device)
      : transport_(transport),
        device_(device),
        exchange_(transport.make_exchange()),
        arrays_(device.make_memory()),
        output_(device.make_memory()) {}

  std::string_view name() const { return transport_.name(); }
  Transport& transport() { return transport_; }

  /// Makes room for the first of `plans`, and takes its arrays to the device. Waits. Collective.
  void describe(std::span<const ExchangePlan> plans, DType dtype, int64_t hidden_size);

  /// All parts at once. x: [tokens, hidden_size] in the device's memory. In stream order.
  void dispatch(ConstMatrixView x) { exchange_->dispatch_all(x, device_.stream()); }
  /// weights: [tokens * top_k] in the device's memory, or empty. In stream order.
  void combine(std::span<const float> weights) {
    exchange_->return_all(weights, {}, output(), device_.stream());
  }

  /// Where dispatch lands [total_recv, hidden_size], and what combine writes [tokens, hidden_size];
  /// in the device's memory.
  MatrixView expert_rows() { return transport_.expert_rows(*plan_); }
  MatrixView output() { return output_->matrix(dtype_, plan_->tokens, hidden_size_); }

 private:
  Transport& transport_;
  BenchDevice& device_;
  std::unique_ptr<Exchange> exchange_;
  const ExchangePlan* plan_ = nullptr;
  DType dtype_ = DType::f32;
  int64_t hidden_size_ = 0;
  std::unique_ptr<BenchMemory> arrays_;  // what kernels read
  std::unique_ptr<BenchMemory> output_;
};

}  // namespace hashep::bench
