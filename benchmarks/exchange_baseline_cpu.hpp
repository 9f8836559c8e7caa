// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "benchmarks/row_messages.hpp"
#include "comm/communicator.hpp"
#include "comm/exchange/transport.hpp"
#include "hashep/buffer.hpp"

namespace hashep::bench {

/// Blocking MPI_Alltoallv of rows. Not under a deadline, as the library's own call is what is
/// measured: every rank is known to be there (a barrier comes first), and a rank that dies within
/// it is mpirun's to see.
class AlltoallvMessages final : public RowMessages {
 public:
  /// Collective (duplicates `comm`).
  explicit AlltoallvMessages(const Communicator& comm) : comm_(comm.get()) {}

  int rank() const override { return comm_.rank(); }
  int size() const override { return comm_.size(); }
  std::unique_ptr<BenchMemory> make_memory() override;
  void set_row(DType dtype, int64_t hidden_size) override;
  void exchange(const MessageRows& rows, ConstMatrixView from, MatrixView to) override;

 private:
  Communicator comm_;
  std::optional<RowDatatype> row_type_;
};

/// What a plain program does, as a transport: permute by owner, blocking MPI_Alltoallv, copy the
/// blocks to their experts; and all that backwards with combine_rows at its end. For one plan at a
/// time.
class PackedAlltoallv final : public Transport {
 public:
  /// Collective (duplicates `comm`).
  PackedAlltoallv(const Communicator& comm, int threads) : messages_(comm), threads_(threads) {}

  std::string_view name() const override { return "pack_alltoallv_unpack"; }
  bool reserve(std::span<const ExchangePlan> plans, DType dtype, int64_t hidden_size,
               const BeforeFree& before_free) override;
  MatrixView expert_rows(const ExchangePlan& plan) override {
    return expert_buffer_.matrix(dtype_, plan.total_recv(), hidden_size_);
  }
  std::unique_ptr<Exchange> make_exchange() override;
  int64_t buffer_bytes() const override;

 private:
  class LayerExchange;

  AlltoallvMessages messages_;
  int threads_;
  DType dtype_ = DType::f32;
  int64_t hidden_size_ = 0;
  Buffer send_buffer_;
  Buffer recv_buffer_;
  Buffer expert_buffer_;
};

}  // namespace hashep::bench
