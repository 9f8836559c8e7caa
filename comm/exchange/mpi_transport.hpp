// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/exchange/all_to_all.hpp"
#include "comm/exchange/transport.hpp"
#include "comm/watch.hpp"
#include "hashep/buffer.hpp"
#include "kernels/rows/expert_place.hpp"

namespace hashep {

/// Rank-major buffers of the source and the owner, and the expert-major one, are sized exactly:
/// (total_send + 2 * total_recv) rows, the largest of the plans reserved for.
struct MpiBufferRows {
  int64_t send = 0;
  int64_t recv = 0;
};
MpiBufferRows mpi_buffer_rows(std::span<const ExchangePlan> plans);

/// Transport `mpi`, the baseline: permute, MPI_Ialltoallv on a communicator of its own, with a row
/// datatype so that counts stay in rows, permute.
class MpiTransport final : public Transport {
 public:
  /// Collective (duplicates `comm`). `watch` must outlive the transport.
  MpiTransport(const Communicator& comm, Watch& watch, int threads);

  std::string_view name() const override { return "mpi"; }
  void reserve(std::span<const ExchangePlan> plans, DType dtype, int64_t hidden_size) override;
  MatrixView dispatch(const ExchangePlan& plan, ConstMatrixView x) override;
  void combine(const ExchangePlan& plan, std::span<const float> weights, ConstMatrixView shared,
               MatrixView y) override;
  int64_t buffer_bytes() const override;

 private:
  Communicator comm_;
  Watch& watch_;
  int threads_;
  DType dtype_ = DType::f32;
  int64_t hidden_size_ = 0;
  std::optional<RowDatatype> row_type_;
  Buffer send_buffer_;               // rank-major, at the source
  Buffer recv_buffer_;               // rank-major, at the owner
  Buffer expert_buffer_;             // expert-major, at the owner
  std::vector<ExpertPlace> places_;  // all in send_buffer_. [num_experts]
  RowsByRank source_;                // narrowed at the MPI boundary
  RowsByRank owner_;
};

}  // namespace hashep
