// SPDX-License-Identifier: Apache-2.0
#include "comm/transport/mpi_transport.hpp"

#include <algorithm>

#include "core/narrow.hpp"
#include "kernels/combine.hpp"
#include "kernels/permute.hpp"

namespace hashep {

MpiBufferRows mpi_buffer_rows(std::span<const ExchangePlan> plans) {
  MpiBufferRows rows;
  for (const ExchangePlan& plan : plans) {
    rows.send = std::max(rows.send, plan.total_send());
    rows.recv = std::max(rows.recv, plan.total_recv());
  }
  return rows;
}

MpiTransport::MpiTransport(const Communicator& comm, Watch& watch, int threads)
    : comm_(comm.get()), watch_(watch), threads_(threads) {}

void MpiTransport::Side::set(std::span<const int64_t> row_counts,
                             std::span<const int64_t> row_displs) {
  counts.resize(row_counts.size());
  displs.resize(row_counts.size());
  for (size_t rank = 0; rank < row_counts.size(); ++rank) {
    counts[rank] = narrow<int>(row_counts[rank], "rows to one rank");
    displs[rank] = narrow<int>(row_displs[rank], "row displacement");
  }
}

void MpiTransport::reserve(std::span<const ExchangePlan> plans, DType dtype, int64_t hidden_size) {
  if (!row_type_ || dtype != dtype_ || hidden_size != hidden_size_) {
    dtype_ = dtype;
    hidden_size_ = hidden_size;
    row_type_.emplace(dtype, hidden_size);
  }
  const MpiBufferRows rows = mpi_buffer_rows(plans);
  const int64_t row_bytes = hidden_size * dtype_size(dtype);
  send_buffer_.reserve(rows.send * row_bytes);
  recv_buffer_.reserve(rows.recv * row_bytes);
  expert_buffer_.reserve(rows.recv * row_bytes);
  for (const ExchangePlan& plan : plans) places_.reserve(static_cast<size_t>(plan.num_experts));
}

void MpiTransport::exchange(const Side& from, const std::byte* send, const Side& to,
                            std::byte* recv) {
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(
      MPI_Ialltoallv(send, from.counts.data(), from.displs.data(), row_type_->get(), recv,
                     to.counts.data(), to.displs.data(), row_type_->get(), comm_.get(), &request),
      "MPI_Ialltoallv");
  watch_.count_collective();
  watch_.wait(request);
}

MatrixView MpiTransport::dispatch(const ExchangePlan& plan, ConstMatrixView x) {
  const MatrixView expert_rows = expert_buffer_.matrix(dtype_, plan.total_recv(), hidden_size_);
  const MatrixView sent = send_buffer_.matrix(dtype_, plan.total_send(), hidden_size_);
  const MatrixView received = recv_buffer_.matrix(dtype_, plan.total_recv(), hidden_size_);
  permute_rows(x, plan.send_rows, plan.top_k, sent, threads_);
  source_.set(plan.send_counts, plan.send_displs);
  owner_.set(plan.recv_counts, plan.recv_displs);
  exchange(source_, sent.data, owner_, received.data);
  copy_blocks_to_experts(received, plan.landing_blocks, expert_rows, threads_);
  return expert_rows;
}

void MpiTransport::combine(const ExchangePlan& plan, std::span<const float> weights,
                           ConstMatrixView shared, MatrixView y) {
  const MatrixView expert_rows = expert_buffer_.matrix(dtype_, plan.total_recv(), hidden_size_);
  const MatrixView returned = recv_buffer_.matrix(dtype_, plan.total_recv(), hidden_size_);
  const MatrixView received = send_buffer_.matrix(dtype_, plan.total_send(), hidden_size_);
  copy_blocks_from_experts(expert_rows, plan.landing_blocks, returned, threads_);
  source_.set(plan.send_counts, plan.send_displs);
  owner_.set(plan.recv_counts, plan.recv_displs);
  exchange(owner_, returned.data, source_, received.data);
  places_.assign(static_cast<size_t>(plan.num_experts), ExpertPlace{received.data, 0});
  combine_rows({.places = places_,
                .experts = plan.experts,
                .row_of = plan.send_rows,
                .top_k = plan.top_k,
                .weights = weights,
                .shared = shared},
               y, threads_);
}

int64_t MpiTransport::buffer_bytes() const {
  return send_buffer_.capacity() + recv_buffer_.capacity() + expert_buffer_.capacity();
}

}  // namespace hashep
