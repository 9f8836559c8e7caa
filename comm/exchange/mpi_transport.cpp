// SPDX-License-Identifier: Apache-2.0
#include "comm/exchange/mpi_transport.hpp"

#include <algorithm>
#include <vector>

#include "comm/exchange/rows_by_rank.hpp"
#include "kernels/rows/combine.hpp"
#include "kernels/rows/permute.hpp"

namespace hashep {
class MpiTransport::LayerExchange final : public Exchange {
 public:
  explicit LayerExchange(MpiTransport& transport) : transport_(transport) {}

  void begin(const ExchangePlan& plan) override {
    plan_ = &plan;
    source_.set(plan.send_counts, plan.send_displs);
    owner_.set(plan.recv_counts, plan.recv_displs);
    places_.assign(plan.num_experts, ExpertPlace{transport_.send_buffer_.data(), 0});
  }

  std::span<const int32_t> experts() const override { return plan_->experts; }
  bool gives_back(int) const override { return false; }

  void dispatch(int, ConstMatrixView x, DeviceStream) override {
    const int threads = transport_.threads_;
    permute_rows(x, plan_->send_rows, plan_->top_k, at_source(), threads);
    all_to_all(source_, at_source().data, owner_, at_owner().data);
    copy_blocks_to_experts(at_owner(), plan_->landing_blocks, transport_.expert_rows(*plan_),
                           threads);
  }

  void give_back(int, std::span<const float>, DeviceStream) override {}

  void combine(std::span<const float> weights, ConstMatrixView shared, MatrixView y,
               DeviceStream) override {
    const int threads = transport_.threads_;
    copy_blocks_from_experts(transport_.expert_rows(*plan_), plan_->landing_blocks, at_owner(),
                             threads);
    all_to_all(owner_, at_owner().data, source_, at_source().data);
    combine_rows({.places = places_,
                  .experts = plan_->experts,
                  .row_of = plan_->send_rows,
                  .top_k = plan_->top_k,
                  .weights = weights,
                  .shared = shared},
                 y, threads);
  }

  void send_values(std::span<const float> values, std::span<float> rows) override {
    transport_.values_.send(*plan_, values, rows);
  }
  void return_values(std::span<const float> rows, std::span<float> values) override {
    transport_.values_.send_back(*plan_, rows, values);
  }

 private:
  /// Sends `from`'s rows and receives `to`'s, by the non-blocking call: only that can be waited for
  /// under a deadline.
  void all_to_all(const RowsByRank& from, const std::byte* send, const RowsByRank& to,
                  std::byte* recv) {
    MPI_Datatype row_type = transport_.row_type_->get();
    MPI_Request request = MPI_REQUEST_NULL;
    check_mpi(MPI_Ialltoallv(send, from.counts.data(), from.displs.data(), row_type, recv,
                             to.counts.data(), to.displs.data(), row_type, transport_.comm_.get(),
                             &request),
              "MPI_Ialltoallv");
    transport_.watch_.count_collective();
    transport_.watch_.wait(request);
  }

  // Rows in the order of messages: sent and returned, received and sent back.
  MatrixView at_source() const {
    return transport_.send_buffer_.matrix(transport_.dtype_, plan_->total_send(),
                                          transport_.hidden_size_);
  }
  MatrixView at_owner() const {
    return transport_.recv_buffer_.matrix(transport_.dtype_, plan_->total_recv(),
                                          transport_.hidden_size_);
  }

  MpiTransport& transport_;
  const ExchangePlan* plan_ = nullptr;
  std::vector<ExpertPlace> places_;  // all in send_buffer_. [num_experts]
  RowsByRank source_;                // narrowed at the MPI boundary
  RowsByRank owner_;
};

MpiTransport::MpiTransport(const Communicator& comm, Watch& watch, int threads)
    : comm_(comm.get()), watch_(watch), threads_(threads), values_(comm_, watch_) {}

bool MpiTransport::reserve(std::span<const ExchangePlan> plans, DType dtype, int64_t hidden_size,
                           const BeforeFree&) {
  if (!row_type_ || dtype != dtype_ || hidden_size != hidden_size_) {
    dtype_ = dtype;
    hidden_size_ = hidden_size;
    row_type_.emplace(dtype, hidden_size);
  }
  const int64_t before = buffer_bytes();
  const int64_t row_bytes = hidden_size * dtype_size(dtype);
  int64_t send = 0;
  int64_t recv = 0;
  for (const ExchangePlan& plan : plans) {
    send = std::max(send, plan.total_send());
    recv = std::max(recv, plan.total_recv());
  }
  send_buffer_.reserve(send * row_bytes);
  recv_buffer_.reserve(recv * row_bytes);
  expert_buffer_.reserve(recv * row_bytes);
  return buffer_bytes() != before;
}

std::unique_ptr<Exchange> MpiTransport::make_exchange() {
  return std::make_unique<LayerExchange>(*this);
}

int64_t MpiTransport::buffer_bytes() const {
  return send_buffer_.capacity() + recv_buffer_.capacity() + expert_buffer_.capacity();
}

}  // namespace hashep
