// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/exchange_baseline.hpp"

#include <cstring>

#include "benchmarks/exchange_check.hpp"
#include "core/narrow.hpp"
#include "kernels/parallel.hpp"
#include "kernels/rows/combine.hpp"
#include "kernels/rows/expert_place.hpp"
#include "kernels/rows/permute.hpp"
#include "kernels/rows/stream_copy.hpp"

namespace hashep::bench {
namespace {

constexpr int64_t kBytesPerThread = 65536;  // fewer are copied sooner than a thread wakes up

}  // namespace

RowsAlltoallv::Side RowsAlltoallv::make_side(std::span<const int64_t> counts,
                                             std::span<const int64_t> displs) {
  Side side;
  for (size_t rank = 0; rank < counts.size(); ++rank) {
    side.counts.push_back(narrow<int>(counts[rank], "rows to one rank"));
    side.displs.push_back(narrow<int>(displs[rank], "row displacement"));
  }
  return side;
}

void RowsAlltoallv::set(const ExchangePlan& plan, DType dtype, int64_t hidden_size) {
  row_type_.emplace(dtype, hidden_size);
  source_ = make_side(plan.send_counts, plan.send_displs);
  owner_ = make_side(plan.recv_counts, plan.recv_displs);
}

void RowsAlltoallv::exchange(const Side& from, const std::byte* send, const Side& to,
                             std::byte* recv) const {
  check_mpi(MPI_Alltoallv(send, from.counts.data(), from.displs.data(), row_type_->get(), recv,
                          to.counts.data(), to.displs.data(), row_type_->get(), comm_.get()),
            "MPI_Alltoallv");
}

void RowsAlltoallv::forward(const std::byte* sent, std::byte* received) const {
  exchange(source_, sent, owner_, received);
}

void RowsAlltoallv::backward(const std::byte* received, std::byte* returned) const {
  exchange(owner_, received, source_, returned);
}

class PackedAlltoallv::LayerExchange final : public Exchange {
 public:
  explicit LayerExchange(PackedAlltoallv& transport) : transport_(transport) {}

  void begin(const ExchangePlan& plan) override {
    plan_ = &plan;
    sent_ = transport_.send_buffer_.matrix(transport_.dtype_, plan.total_send(),
                                           transport_.hidden_size_);
    received_ = transport_.recv_buffer_.matrix(transport_.dtype_, plan.total_recv(),
                                               transport_.hidden_size_);
    places_.assign(static_cast<size_t>(plan.num_experts), ExpertPlace{sent_.data, 0});
  }

  std::span<const int32_t> experts() const override { return plan_->experts; }

  void dispatch(int, ConstMatrixView x, DeviceStream) override {
    permute_rows(x, plan_->send_rows, plan_->top_k, sent_, transport_.threads_);
    transport_.alltoallv_.forward(sent_.data, received_.data);
    copy_blocks_to_experts(received_, plan_->landing_blocks, transport_.expert_rows(*plan_),
                           transport_.threads_);
  }

  void give_back(int, std::span<const float>, DeviceStream) override {
    copy_blocks_from_experts(transport_.expert_rows(*plan_), plan_->landing_blocks, received_,
                             transport_.threads_);
    transport_.alltoallv_.backward(received_.data, sent_.data);
  }

  void combine(std::span<const float> weights, ConstMatrixView shared, MatrixView y,
               DeviceStream) override {
    combine_rows({.places = places_,
                  .experts = plan_->experts,
                  .row_of = plan_->send_rows,
                  .top_k = plan_->top_k,
                  .weights = weights,
                  .shared = shared},
                 y, transport_.threads_);
  }

 private:
  PackedAlltoallv& transport_;
  const ExchangePlan* plan_ = nullptr;
  MatrixView sent_;                  // then returned
  MatrixView received_;              // then packed to be returned
  std::vector<ExpertPlace> places_;  // all in send_buffer_. [num_experts]
};

bool PackedAlltoallv::reserve(std::span<const ExchangePlan> plans, DType dtype, int64_t hidden_size,
                              const BeforeFree&) {
  const ExchangePlan& plan = plans.front();
  dtype_ = dtype;
  hidden_size_ = hidden_size;
  alltoallv_.set(plan, dtype, hidden_size);
  const int64_t before = buffer_bytes();
  const int64_t row_bytes = hidden_size * dtype_size(dtype);
  send_buffer_.reserve(plan.total_send() * row_bytes);
  recv_buffer_.reserve(plan.total_recv() * row_bytes);
  expert_buffer_.reserve(plan.total_recv() * row_bytes);
  return buffer_bytes() != before;
}

std::unique_ptr<Exchange> PackedAlltoallv::make_exchange() {
  return std::make_unique<LayerExchange>(*this);
}

int64_t PackedAlltoallv::buffer_bytes() const {
  return send_buffer_.capacity() + recv_buffer_.capacity() + expert_buffer_.capacity();
}

void RawExchange::reserve(const ExchangePlan& plan, DType dtype, int64_t hidden_size) {
  plan_ = &plan;
  dtype_ = dtype;
  hidden_size_ = hidden_size;
  alltoallv_.set(plan, dtype, hidden_size);
  const int64_t row_bytes = hidden_size * dtype_size(dtype);
  sent_.reserve(plan.total_send() * row_bytes);
  returned_.reserve(plan.total_send() * row_bytes);
  received_.reserve(plan.total_recv() * row_bytes);
  const MatrixView to_send = rows(sent_, plan.total_send());
  AddressedRow row(hidden_size);
  for (int rank = 0; rank < plan.ep_size; ++rank) {
    const auto peer = static_cast<size_t>(rank);
    for (int64_t i = 0; i < plan.send_counts[peer]; ++i) {
      convert_from_float(row.of(message_address(plan.ep_rank, rank, i)).data(), hidden_size, dtype,
                         to_send.row(plan.send_displs[peer] + i));
    }
  }
}

void RawExchange::copy_plain() {
  const int64_t bytes = rows(sent_, plan_->total_send()).bytes();
  parallel_ranges(bytes, threads_, kBytesPerThread, [this](int64_t begin, int64_t end) {
    std::memcpy(returned_.data() + begin, sent_.data() + begin, static_cast<size_t>(end - begin));
  });
}

void RawExchange::copy_streaming() {
  const int64_t bytes = rows(sent_, plan_->total_send()).bytes();
  parallel_ranges(bytes, threads_, kBytesPerThread, [this](int64_t begin, int64_t end) {
    stream_copy(returned_.data() + begin, sent_.data() + begin, end - begin);
    stream_fence();
  });
}

int64_t RawExchange::wrong_in_forward() {
  const MatrixView received = rows(received_, plan_->total_recv());
  poison(received);
  forward();
  AddressedRow row(hidden_size_);
  int64_t wrong = 0;
  for (int rank = 0; rank < plan_->ep_size; ++rank) {
    const auto peer = static_cast<size_t>(rank);
    for (int64_t i = 0; i < plan_->recv_counts[peer]; ++i) {
      wrong += wrong_elements(received, plan_->recv_displs[peer] + i,
                              row.of(message_address(rank, plan_->ep_rank, i)));
    }
  }
  return wrong;
}

int64_t RawExchange::wrong_in_backward() {
  const MatrixView returned = rows(returned_, plan_->total_send());
  forward();
  poison(returned);
  backward();
  return wrong_in_rows(returned);
}

int64_t RawExchange::wrong_in_copy(bool streaming) {
  const MatrixView copied = rows(returned_, plan_->total_send());
  poison(copied);
  if (streaming) {
    copy_streaming();
  } else {
    copy_plain();
  }
  return wrong_in_rows(copied);
}

int64_t RawExchange::wrong_in_rows(ConstMatrixView copied) const {
  AddressedRow row(hidden_size_);
  int64_t wrong = 0;
  for (int rank = 0; rank < plan_->ep_size; ++rank) {
    const auto peer = static_cast<size_t>(rank);
    for (int64_t i = 0; i < plan_->send_counts[peer]; ++i) {
      wrong += wrong_elements(copied, plan_->send_displs[peer] + i,
                              row.of(message_address(plan_->ep_rank, rank, i)));
    }
  }
  return wrong;
}

}  // namespace hashep::bench
