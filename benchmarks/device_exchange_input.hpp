// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "benchmarks/device_queue.hpp"
#include "benchmarks/exchange_check.hpp"
#include "core/cuda/device_buffer.hpp"
#include "hashep/exchange_plan.hpp"

namespace hashep::bench {

/// What is exchanged: hidden states that carry their address, and weights whose sums depend on the
/// order.
class DeviceExchangeInput {
 public:
  /// `queue` must outlive it.
  explicit DeviceExchangeInput(DeviceQueue& queue) : queue_(queue) {}

  /// first_token: of this rank in the batch. Waits.
  void make(const ExchangePlan& plan, DType dtype, int64_t hidden_size, int64_t first_token,
            const ExchangeCheck& check);

  /// [tokens, hidden_size] in GPU memory.
  ConstMatrixView x() const { return x_; }
  /// [tokens * top_k] in GPU memory and in host memory; empty, for 1 / top_k each, without `some`.
  std::span<const float> gpu_weights(bool some) const {
    if (!some) return {};
    return {gpu_weights_.as<const float>(), weights_.size()};
  }
  std::span<const float> weights(bool some) const {
    return some ? std::span<const float>(weights_) : std::span<const float>();
  }

 private:
  DeviceQueue& queue_;
  DeviceBuffer x_buffer_;
  ConstMatrixView x_;
  std::vector<float> weights_;
  DeviceBuffer gpu_weights_;
};

}  // namespace hashep::bench
