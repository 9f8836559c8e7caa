// SPDX-License-Identifier: Apache-2.0
#include "comm/exchange/mpi_transport.hpp"

#include <algorithm>

#include "comm/exchange/local_work.hpp"
#include "core/narrow.hpp"
#include "kernels/rows/combine.hpp"
#include "kernels/rows/permute.hpp"

namespace hashep {

MpiBufferRows mpi_buffer_rows(std::span<const ExchangePlan> plans) {
  MpiBufferRows rows;
  for (const ExchangePlan& plan : plans) {
    rows.send = std::max(rows.send, plan.total_send());
    rows.recv = std::max(rows.recv, plan.total_recv());
  }
  return rows;
}

namespace {

void set_side(std::span<const int64_t> counts, std::span<const int64_t> displs, RowsByRank& side) {
  side.counts.resize(counts.size());
  side.displs.resize(counts.size());
  for (size_t rank = 0; rank < counts.size(); ++rank) {
    side.counts[rank] = narrow<int>(counts[rank], "rows to one rank");
    side.displs[rank] = narrow<int>(displs[rank], "row displacement");
  }
}

}  // namespace

MpiTransport::MpiTransport(const Communicator& comm, Watch& watch, int threads)
    : comm_(comm.get()), watch_(watch), threads_(threads) {}

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

MatrixView MpiTransport::dispatch(const ExchangePlan& plan, ConstMatrixView x) {
  const MatrixView expert_rows = expert_buffer_.matrix(dtype_, plan.total_recv(), hidden_size_);
  const MatrixView sent = send_buffer_.matrix(dtype_, plan.total_send(), hidden_size_);
  const MatrixView received = recv_buffer_.matrix(dtype_, plan.total_recv(), hidden_size_);
  permute_rows(x, plan.send_rows, plan.top_k, sent, threads_);
  pass_copy(sent.rows, sent.row_bytes());
  set_side(plan.send_counts, plan.send_displs, source_);
  set_side(plan.recv_counts, plan.recv_displs, owner_);
  all_to_all(comm_, watch_, row_type_->get(), source_, sent.data, owner_, received.data);
  copy_blocks_to_experts(received, plan.landing_blocks, expert_rows, threads_);
  pass_copy(received.rows, received.row_bytes());
  return expert_rows;
}

void MpiTransport::combine(const ExchangePlan& plan, std::span<const float> weights,
                           ConstMatrixView shared, MatrixView y) {
  const MatrixView expert_rows = expert_buffer_.matrix(dtype_, plan.total_recv(), hidden_size_);
  const MatrixView returned = recv_buffer_.matrix(dtype_, plan.total_recv(), hidden_size_);
  const MatrixView received = send_buffer_.matrix(dtype_, plan.total_send(), hidden_size_);
  copy_blocks_from_experts(expert_rows, plan.landing_blocks, returned, threads_);
  pass_copy(returned.rows, returned.row_bytes());
  set_side(plan.send_counts, plan.send_displs, source_);
  set_side(plan.recv_counts, plan.recv_displs, owner_);
  all_to_all(comm_, watch_, row_type_->get(), owner_, returned.data, source_, received.data);
  places_.assign(static_cast<size_t>(plan.num_experts), ExpertPlace{received.data, 0});
  combine_rows({.places = places_,
                .experts = plan.experts,
                .row_of = plan.send_rows,
                .top_k = plan.top_k,
                .weights = weights,
                .shared = shared},
               y, threads_);
  pass_copy(received.rows, received.row_bytes());
}

int64_t MpiTransport::buffer_bytes() const {
  return send_buffer_.capacity() + recv_buffer_.capacity() + expert_buffer_.capacity();
}

}  // namespace hashep
