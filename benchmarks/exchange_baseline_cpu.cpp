// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/exchange_baseline_cpu.hpp"

#include "kernels/rows/combine.hpp"
#include "kernels/rows/expert_place.hpp"
#include "kernels/rows/permute.hpp"

namespace hashep::bench {

std::unique_ptr<BenchMemory> AlltoallvMessages::make_memory() {
  return std::make_unique<BenchMemoryOf<Buffer>>();
}

void AlltoallvMessages::set_row(DType dtype, int64_t hidden_size) {
  row_type_.emplace(dtype, hidden_size);
}

void AlltoallvMessages::exchange(const MessageRows& rows, ConstMatrixView from, MatrixView to) {
  check_mpi(MPI_Alltoallv(from.data, rows.send_counts.data(), rows.send_displs.data(),
                          row_type_->get(), to.data, rows.recv_counts.data(),
                          rows.recv_displs.data(), row_type_->get(), comm_.get()),
            "MPI_Alltoallv");
}

class PackedAlltoallv::LayerExchange final : public Exchange {
 public:
  explicit LayerExchange(PackedAlltoallv& transport) : transport_(transport) {}

  void begin(const ExchangePlan& plan) override {
    plan_ = &plan;
    there_ = MessageRows::of(plan);
    back_ = there_.reversed();
    sent_ = transport_.send_buffer_.matrix(transport_.dtype_, plan.total_send(),
                                           transport_.hidden_size_);
    received_ = transport_.recv_buffer_.matrix(transport_.dtype_, plan.total_recv(),
                                               transport_.hidden_size_);
    places_.assign(plan.num_experts, ExpertPlace{sent_.data, 0});
  }

  std::span<const int32_t> experts() const override { return plan_->experts; }

  void dispatch(int, ConstMatrixView x, DeviceStream) override {
    permute_rows(x, plan_->send_rows, plan_->top_k, sent_, transport_.threads_);
    transport_.messages_.exchange(there_, sent_, received_);
    copy_blocks_to_experts(received_, plan_->landing_blocks, transport_.expert_rows(*plan_),
                           transport_.threads_);
  }

  void give_back(int, std::span<const float>, DeviceStream) override {
    copy_blocks_from_experts(transport_.expert_rows(*plan_), plan_->landing_blocks, received_,
                             transport_.threads_);
    transport_.messages_.exchange(back_, received_, sent_);
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
  MessageRows there_;
  MessageRows back_;
  MatrixView sent_;                  // then returned
  MatrixView received_;              // then packed to be returned
  std::vector<ExpertPlace> places_;  // all in send_buffer_. [num_experts]
};

bool PackedAlltoallv::reserve(std::span<const ExchangePlan> plans, DType dtype, int64_t hidden_size,
                              const BeforeFree&) {
  const ExchangePlan& plan = plans.front();
  dtype_ = dtype;
  hidden_size_ = hidden_size;
  messages_.set_row(dtype, hidden_size);
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

}  // namespace hashep::bench
