// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/exchange_input.hpp"

#include "core/random.hpp"
#include "hashep/buffer.hpp"

namespace hashep::bench {
namespace {

constexpr uint64_t kWeightsTag = 3;

}  // namespace

void ExchangeInput::make(const ExchangePlan& plan, DType dtype, int64_t hidden_size,
                         int64_t first_token, const ExchangeCheck& check) {
  const int64_t bytes = plan.tokens * hidden_size * dtype_size(dtype);
  Buffer host(bytes);
  check.fill(host.matrix(dtype, plan.tokens, hidden_size));
  x_memory_->reserve(bytes);
  x_ = x_memory_->matrix(dtype, plan.tokens, hidden_size);
  device_.upload(x_memory_->data(), host.data(), bytes);
  host_weights_.resize(plan.experts.size());
  const auto first = static_cast<uint64_t>(first_token * plan.top_k);
  for (size_t i = 0; i < host_weights_.size(); ++i) {
    host_weights_[i] = static_cast<float>(uniform_from_bits(random_bits(kWeightsTag, first + i)));
  }
  const auto weight_bytes = static_cast<int64_t>(host_weights_.size() * sizeof(float));
  weights_memory_->reserve(weight_bytes);
  device_.upload(weights_memory_->data(), host_weights_.data(), weight_bytes);
}

}  // namespace hashep::bench
