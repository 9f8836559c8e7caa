// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/device_exchange_input.hpp"

#include "core/random.hpp"
#include "hashep/buffer.hpp"

namespace hashep::bench {
namespace {

constexpr uint64_t kWeightsTag = 3;

}  // namespace

void DeviceExchangeInput::make(const ExchangePlan& plan, DType dtype, int64_t hidden_size,
                               int64_t first_token, const ExchangeCheck& check) {
  const int64_t bytes = plan.tokens * hidden_size * dtype_size(dtype);
  Buffer host(bytes);
  check.fill(host.matrix(dtype, plan.tokens, hidden_size));
  x_buffer_.reserve(bytes);
  x_ = x_buffer_.matrix(dtype, plan.tokens, hidden_size);
  queue_.upload(x_buffer_.data(), host.data(), bytes);
  weights_.resize(plan.experts.size());
  const auto first = static_cast<uint64_t>(first_token * plan.top_k);
  for (size_t i = 0; i < weights_.size(); ++i) {
    weights_[i] = static_cast<float>(uniform_from_bits(random_bits(kWeightsTag, first + i)));
  }
  const auto weight_bytes = static_cast<int64_t>(weights_.size() * sizeof(float));
  gpu_weights_.reserve(weight_bytes);
  queue_.upload(gpu_weights_.data(), weights_.data(), weight_bytes);
}

}  // namespace hashep::bench
