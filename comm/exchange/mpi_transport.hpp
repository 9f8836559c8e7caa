// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

#include "comm/communicator.hpp"
#include "comm/exchange/transport.hpp"
#include "comm/exchange/value_messages.hpp"
#include "comm/watch.hpp"
#include "hashep/buffer.hpp"

namespace hashep {

/// Transport `mpi`, the baseline: permute, MPI_Ialltoallv on a communicator of its own, with a row
/// datatype so that counts stay in rows, permute. Rank-major buffers of the source and the owner,
/// and the expert-major one, are sized exactly: (total_send + 2 * total_recv) rows, the largest of
/// the plans reserved for.
class MpiTransport final : public Transport {
 public:
  /// Collective (duplicates `comm`). `watch` must outlive the transport.
  MpiTransport(const Communicator& comm, Watch& watch, int threads);

  std::string_view name() const override { return "mpi"; }
  bool reserve(std::span<const ExchangePlan> plans, DType dtype, int64_t hidden_size,
               const BeforeFree& before_free) override;
  MatrixView expert_rows(const ExchangePlan& plan) override {
    return expert_buffer_.matrix(dtype_, plan.total_recv(), hidden_size_);
  }
  std::unique_ptr<Exchange> make_exchange() override;
  int64_t buffer_bytes() const override;

 private:
  class LayerExchange;

  Communicator comm_;
  Watch& watch_;
  int threads_;
  DType dtype_ = DType::f32;
  int64_t hidden_size_ = 0;
  std::optional<RowDatatype> row_type_;
  Buffer send_buffer_;    // rank-major, at the source
  Buffer recv_buffer_;    // rank-major, at the owner
  Buffer expert_buffer_;  // expert-major, at the owner
  ValueMessages values_;
};

}  // namespace hashep
