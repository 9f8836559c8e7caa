// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "benchmarks/row_messages.hpp"
#include "comm/exchange/transport.hpp"
#include "comm/nccl_buffer.hpp"
#include "comm/nccl_communicator.hpp"
#include "core/cuda/device_buffer.hpp"

namespace hashep::bench {

/// One group of NCCL's sends and receives, a message for each rank with rows, this one too. In
/// stream order. Collective.
void exchange_rows(NcclCommunicator& nccl, const MessageRows& rows, ConstMatrixView from,
                   MatrixView to, DeviceStream stream);

/// The same as RowMessages, on one stream.
class NcclMessages : public RowMessages {
 public:
  /// `nccl` must outlive it.
  NcclMessages(NcclCommunicator& nccl, DeviceStream stream) : nccl_(nccl), stream_(stream) {}

  int rank() const override { return nccl_.rank(); }
  int size() const override { return nccl_.size(); }
  std::unique_ptr<BenchMemory> make_memory() override;
  void set_row(DType, int64_t) override {}
  void exchange(const MessageRows& rows, ConstMatrixView from, MatrixView to) override {
    exchange_rows(nccl_, rows, from, to, stream_);
  }

 protected:
  NcclCommunicator& nccl_;
  DeviceStream stream_;
};

/// NCCL's own all-to-all, ncclAlltoAll, for MessageRows::equal. NCCL before 2.28 has none, there it
/// is one group of equal sends and receives.
class NcclAllToAll final : public NcclMessages {
 public:
  using NcclMessages::NcclMessages;
  void exchange(const MessageRows& rows, ConstMatrixView from, MatrixView to) override;
};

/// What a plain program does, as a transport: permute by owner, one group of messages, take the
/// rows to their experts; and all that backwards with combine_rows at its end. One plan at a time.
class PackedNccl final : public Transport {
 public:
  /// `nccl` must outlive it.
  explicit PackedNccl(NcclCommunicator& nccl) : nccl_(nccl), sent_(nccl), received_(nccl) {}

  std::string_view name() const override { return "pack_alltoallv_unpack"; }
  bool reserve(std::span<const ExchangePlan> plans, DType dtype, int64_t hidden_size,
               const BeforeFree& before_free) override;
  MatrixView expert_rows(const ExchangePlan& plan) override {
    return expert_rows_.matrix(dtype_, plan.total_recv(), hidden_size_);
  }
  std::unique_ptr<Exchange> make_exchange() override;
  void check() override { nccl_.check(); }
  void begin_abort() noexcept override { nccl_.begin_abort(); }
  bool end_abort() noexcept override { return nccl_.end_abort(); }
  int64_t buffer_bytes() const override {
    return sent_.capacity() + received_.capacity() + expert_rows_.capacity();
  }

 private:
  class LayerExchange;

  NcclCommunicator& nccl_;
  DType dtype_ = DType::f32;
  int64_t hidden_size_ = 0;
  NcclBuffer sent_;
  NcclBuffer received_;
  DeviceBuffer expert_rows_;
};

}  // namespace hashep::bench
