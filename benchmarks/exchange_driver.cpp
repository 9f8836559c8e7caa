// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/exchange_driver.hpp"

#include "hashep/buffer.hpp"

namespace hashep::bench {

void ExchangeDriver::describe(std::span<const ExchangePlan> plans, DType dtype,
                              int64_t hidden_size) {
  plan_ = &plans.front();
  dtype_ = dtype;
  hidden_size_ = hidden_size;
  transport_.reserve(plans, dtype, hidden_size, [this] { device_.wait(); });
  output_->reserve(plan_->tokens * hidden_size * dtype_size(dtype));
  exchange_->begin(*plan_);
  ArrayLayout measured;
  exchange_->lay_out(measured);
  if (measured.bytes() == 0) return;
  Buffer staging(measured.bytes());
  arrays_->reserve(measured.bytes());
  ArrayLayout layout(staging.data(), arrays_->data());
  exchange_->lay_out(layout);
  device_.upload(arrays_->data(), staging.data(), layout.bytes());
}

}  // namespace hashep::bench
