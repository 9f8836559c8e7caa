// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <optional>

#include "comm/exchange/transport.hpp"
#include "comm/nccl_buffer.hpp"
#include "comm/plan/message_schedule.hpp"
#include "core/cuda/stream.hpp"

namespace hashep {

/// How an exchange between GPUs is cut up; empty: by rule (choose_landing, choose_parts). All ranks
/// alike.
struct ExchangeChoices {
  std::optional<Landing> landing;
  std::optional<int> parts;
};

/// Transport `nccl`: messages between all ranks, over any number of nodes, one group of sends and
/// receives for each part of an exchange. Dispatch packs a part's rows rank-major in one kernel;
/// they land straight in their expert-major places, or in a buffer from which a kernel takes them
/// there (see Landing). Results return the same way. Buffers, NCCL's own and registered with it:
/// rows of the largest plan: expert rows, send buffer, and with Landing::unpack a receive buffer.
class NcclTransport final : public Transport {
 public:
  /// Collective. `watch` must outlive the transport.
  NcclTransport(const Communicator& comm, Watch& watch, const ExchangeChoices& choices);

  std::string_view name() const override { return "nccl"; }
  bool reserve(std::span<const ExchangePlan> plans, DType dtype, int64_t hidden_size,
               const BeforeFree& before_free) override;
  MatrixView expert_rows(const ExchangePlan& plan) override {
    return expert_rows_.matrix(dtype_, plan.total_recv(), hidden_size_);
  }
  std::unique_ptr<Exchange> make_exchange() override;
  bool overlaps() const override { return true; }
  void wait_for(DeviceStream stream) override;
  void check() override { nccl_.check(); }
  void begin_abort() noexcept override { nccl_.begin_abort(); }
  bool end_abort() noexcept override { return nccl_.end_abort(); }
  int64_t buffer_bytes() const override {
    return expert_rows_.capacity() + send_buffer_.capacity() + receive_buffer_.capacity();
  }

 private:
  class LayerExchange;

  Landing landing_of(const ExchangePlan& plan) const;
  int parts_of(const ExchangePlan& plan) const;
  int64_t row_bytes() const { return hidden_size_ * dtype_size(dtype_); }

  Watch& watch_;
  ExchangeChoices choices_;
  NcclCommunicator nccl_;
  DType dtype_ = DType::f32;
  int64_t hidden_size_ = 0;
  NcclBuffer expert_rows_;
  NcclBuffer send_buffer_;     // rank-major: rows to be sent, then results
  NcclBuffer receive_buffer_;  // rank-major at the owner: rows received, then results to be sent
  // Of exchanges in several parts, so that kernels and messages of different parts run side by
  // side.
  CudaStream messages_{CudaStream::Priority::highest};
  std::array<CudaEvent, Exchange::kMaxParts> packed_;
  std::array<CudaEvent, Exchange::kMaxParts> arrived_;
};

}  // namespace hashep
