// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/exchange/transport.hpp"
#include "hashep/buffer.hpp"

namespace hashep::bench {

/// Blocking MPI_Alltoallv of rows with the counts of one plan, forwards as in dispatch and
/// backwards as in combine. Not under a deadline, as the library's own call is what is measured:
/// every rank is known to be there (a barrier comes first), and a rank that dies within it is
/// mpirun's to see.
class RowsAlltoallv {
 public:
  /// Collective (duplicates `comm`).
  explicit RowsAlltoallv(const Communicator& comm) : comm_(comm.get()) {}

  void set(const ExchangePlan& plan, DType dtype, int64_t hidden_size);
  /// sent: [total_send, hidden_size] -> received: [total_recv, hidden_size]. Collective.
  void forward(const std::byte* sent, std::byte* received) const;
  /// The other way. Collective.
  void backward(const std::byte* received, std::byte* returned) const;

 private:
  struct Side {
    std::vector<int> counts;
    std::vector<int> displs;
  };

  static Side make_side(std::span<const int64_t> counts, std::span<const int64_t> displs);
  void exchange(const Side& from, const std::byte* send, const Side& to, std::byte* recv) const;

  Communicator comm_;
  std::optional<RowDatatype> row_type_;
  Side source_;
  Side owner_;
};

/// What a plain program does, as a transport: permute by owner, blocking MPI_Alltoallv, copy the
/// blocks to their experts; and all that backwards with combine_rows at its end. For one plan at a
/// time.
class PackedAlltoallv final : public Transport {
 public:
  /// Collective (duplicates `comm`).
  PackedAlltoallv(const Communicator& comm, int threads) : alltoallv_(comm), threads_(threads) {}

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

  RowsAlltoallv alltoallv_;
  int threads_;
  DType dtype_ = DType::f32;
  int64_t hidden_size_ = 0;
  Buffer send_buffer_;
  Buffer recv_buffer_;
  Buffer expert_buffer_;
};

/// The two yardsticks that know no experts: rows that lie in the order of messages already,
/// exchanged by a raw MPI_Alltoallv; and a copy of them on each rank, by memcpy and by non-temporal
/// stores. Each rank copies what it sends in dispatch, total_send rows; for combine with top_k > 1,
/// which reads top_k rows of a token to write one, that is more than has to be written.
class RawExchange {
 public:
  /// Collective (duplicates `comm`).
  RawExchange(const Communicator& comm, int threads) : alltoallv_(comm), threads_(threads) {}

  /// Makes room, and rows to send. `plan` must outlive the use. Local.
  void reserve(const ExchangePlan& plan, DType dtype, int64_t hidden_size);

  void forward() { alltoallv_.forward(sent_.data(), received_.data()); }
  void backward() { alltoallv_.backward(received_.data(), returned_.data()); }
  void copy_plain();
  void copy_streaming();

  /// Elements that are not in their place after the call of that name. Each runs it. Collective,
  /// the first two.
  int64_t wrong_in_forward();
  int64_t wrong_in_backward();
  int64_t wrong_in_copy(bool streaming);

 private:
  MatrixView rows(Buffer& buffer, int64_t count) const {
    return buffer.matrix(dtype_, count, hidden_size_);
  }
  /// Elements that are not those of the rows to send.
  int64_t wrong_in_rows(ConstMatrixView copied) const;

  RowsAlltoallv alltoallv_;
  int threads_;
  const ExchangePlan* plan_ = nullptr;
  DType dtype_ = DType::f32;
  int64_t hidden_size_ = 0;
  Buffer sent_;      // [total_send]
  Buffer received_;  // [total_recv]
  Buffer returned_;  // [total_send], also what a copy is written to
};

}  // namespace hashep::bench
