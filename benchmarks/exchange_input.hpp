// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "benchmarks/bench_device.hpp"
#include "benchmarks/exchange_check.hpp"
#include "hashep/exchange_plan.hpp"

namespace hashep::bench {

/// What is exchanged: hidden states that carry their address, and weights whose sums depend on the
/// order.
class ExchangeInput {
 public:
  /// `device` must outlive it.
  explicit ExchangeInput(BenchDevice& device)
      : device_(device), x_memory_(device.make_memory()), weights_memory_(device.make_memory()) {}

  /// first_token: of this rank in the batch. Waits.
  void make(const ExchangePlan& plan, DType dtype, int64_t hidden_size, int64_t first_token,
            const ExchangeCheck& check);

  /// [tokens, hidden_size] in the device's memory.
  ConstMatrixView x() const { return x_; }
  /// [tokens * top_k] in the device's memory and in host memory; empty, for 1 / top_k each, without
  /// `some`.
  std::span<const float> weights(bool some) const {
    if (!some) return {};
    return {reinterpret_cast<const float*>(weights_memory_->data()), host_weights_.size()};
  }
  std::span<const float> host_weights(bool some) const {
    return some ? std::span<const float>(host_weights_) : std::span<const float>();
  }

 private:
  BenchDevice& device_;
  std::unique_ptr<BenchMemory> x_memory_;
  ConstMatrixView x_;
  std::vector<float> host_weights_;
  std::unique_ptr<BenchMemory> weights_memory_;
};

}  // namespace hashep::bench
