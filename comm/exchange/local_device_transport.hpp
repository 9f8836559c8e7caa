// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "comm/exchange/transport.hpp"
#include "core/cuda/device_buffer.hpp"

namespace hashep {

/// Transport `local` on a GPU: one rank owns all experts. Dispatch writes each row once, straight
/// to its expert-major place; combine reads the outputs there. No streams but the caller's.
class LocalDeviceTransport final : public Transport {
 public:
  std::string_view name() const override { return "local"; }
  bool reserve(std::span<const ExchangePlan> plans, DType dtype, int64_t hidden_size,
               const BeforeFree& before_free) override;
  MatrixView expert_rows(const ExchangePlan& plan) override {
    return rows_.matrix(dtype_, plan.total_recv(), hidden_size_);
  }
  std::unique_ptr<Exchange> make_exchange() override;
  bool reads_counts_on_gpu() const override { return true; }
  int64_t buffer_bytes() const override { return rows_.capacity(); }

 private:
  DType dtype_ = DType::f32;
  int64_t hidden_size_ = 0;
  DeviceBuffer rows_;
};

}  // namespace hashep
