// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/exchange_baseline_cuda.hpp"

#include <nccl.h>

#include <algorithm>

#include "core/narrow.hpp"
#include "kernels/rows/combine.hpp"
#include "kernels/rows/scatter.hpp"

namespace hashep::bench {

void exchange_rows(NcclCommunicator& nccl, const MessageRows& rows, ConstMatrixView from,
                   MatrixView to, DeviceStream stream) {
  if (from.rows == 0 && to.rows == 0) return;
  nccl.exchange([&] {
    for (int peer = 0; peer < nccl.size(); ++peer) {
      const auto i = static_cast<size_t>(peer);
      if (rows.send_counts[i] > 0) {
        nccl.send(from.row(rows.send_displs[i]), rows.send_counts[i] * from.row_bytes(), peer,
                  stream);
      }
      if (rows.recv_counts[i] > 0) {
        nccl.receive(to.row(rows.recv_displs[i]), rows.recv_counts[i] * to.row_bytes(), peer,
                     stream);
      }
    }
  });
}

std::unique_ptr<BenchMemory> NcclMessages::make_memory() {
  return std::make_unique<BenchMemoryOf<NcclBuffer>>(nccl_);
}

void NcclAllToAll::exchange(const MessageRows& rows, ConstMatrixView from, MatrixView to) {
#if NCCL_VERSION_CODE >= NCCL_VERSION(2, 28, 0)
  const int64_t bytes = rows.send_counts.front() * from.row_bytes();  // to each rank
  if (bytes == 0) return;
  nccl_.exchange([&] {
    check_nccl(ncclAlltoAll(from.data, to.data, narrow<size_t>(bytes, "bytes to a rank"), ncclUint8,
                            nccl_.get(), stream_.handle),
               "ncclAlltoAll", nccl_.get());
  });
#else
  exchange_rows(nccl_, rows, from, to, stream_);
#endif
}

class PackedNccl::LayerExchange final : public Exchange {
 public:
  explicit LayerExchange(PackedNccl& baseline) : baseline_(baseline) {}

  void begin(const ExchangePlan& plan) override {
    plan_ = &plan;
    top_k_ = plan.top_k;
    there_ = MessageRows::of(plan);
    back_ = there_.reversed();
  }

  void lay_out(ArrayLayout& arrays) override {
    experts_ = arrays.add(plan_->experts);
    send_rows_ = arrays.add(plan_->send_rows);
    const auto sent_places = arrays.make<ExpertPlace>(plan_->num_experts, sent_places_);
    const auto no_experts = arrays.make<int32_t>(there_.total_recv(), no_experts_);
    const auto landing_rows = arrays.make<int64_t>(there_.total_recv(), landing_rows_);
    const auto landing_place = arrays.make<ExpertPlace>(1, landing_place_);
    if (!arrays.is_real()) return;
    std::fill(sent_places.begin(), sent_places.end(), ExpertPlace{baseline_.sent_.data(), 0});
    std::fill(no_experts.begin(), no_experts.end(), 0);
    for (const RowBlock& block : plan_->landing_blocks) {
      for (int64_t i = 0; i < block.count; ++i) {
        landing_rows[block.message_row + i] = block.expert_row + i;
      }
    }
    landing_place.front() = {baseline_.expert_rows_.data(), 0};
  }

  std::span<const int32_t> experts() const override { return experts_; }

  void dispatch(int, ConstMatrixView x, DeviceStream stream) override {
    scatter_rows(x, {experts_, send_rows_, top_k_, sent_places_}, stream);
    exchange_rows(baseline_.nccl_, there_, sent(), received(), stream);
    scatter_rows(received(), {no_experts_, landing_rows_, 1, landing_place_}, stream);
  }

  void give_back(int, std::span<const float>, DeviceStream stream) override {
    combine_rows({.places = landing_place_,
                  .experts = no_experts_,
                  .row_of = landing_rows_,
                  .top_k = 1,
                  .weights = {},
                  .shared = {}},
                 received(), stream);
    exchange_rows(baseline_.nccl_, back_, received(), sent(), stream);
  }

  void combine(std::span<const float> weights, ConstMatrixView shared, MatrixView y,
               DeviceStream stream) override {
    combine_rows({.places = sent_places_,
                  .experts = experts_,
                  .row_of = send_rows_,
                  .top_k = top_k_,
                  .weights = weights,
                  .shared = shared},
                 y, stream);
  }

 private:
  MatrixView sent() const {
    return baseline_.sent_.matrix(baseline_.dtype_, there_.total_send(), baseline_.hidden_size_);
  }
  MatrixView received() const {
    return baseline_.received_.matrix(baseline_.dtype_, there_.total_recv(),
                                      baseline_.hidden_size_);
  }

  PackedNccl& baseline_;
  const ExchangePlan* plan_ = nullptr;
  int top_k_ = 1;
  MessageRows there_;
  MessageRows back_;

  // In GPU memory.
  std::span<const int32_t> experts_;            // [tokens * top_k]
  std::span<const int64_t> send_rows_;          // [tokens * top_k]
  std::span<const ExpertPlace> sent_places_;    // [num_experts], all in the buffer of rows sent
  std::span<const int32_t> no_experts_;         // [total_recv], all 0: of landing_place_
  std::span<const int64_t> landing_rows_;       // [total_recv]: where received rows go
  std::span<const ExpertPlace> landing_place_;  // [1]
};

bool PackedNccl::reserve(std::span<const ExchangePlan> plans, DType dtype, int64_t hidden_size,
                         const BeforeFree& before_free) {
  dtype_ = dtype;
  hidden_size_ = hidden_size;
  const ExchangePlan& plan = plans.front();
  const int64_t row_bytes = hidden_size * dtype_size(dtype);
  bool moved = sent_.reserve(plan.total_send() * row_bytes, before_free);
  moved |= received_.reserve(plan.total_recv() * row_bytes, before_free);
  moved |= expert_rows_.reserve(plan.total_recv() * row_bytes, before_free);
  return moved;
}

std::unique_ptr<Exchange> PackedNccl::make_exchange() {
  return std::make_unique<LayerExchange>(*this);
}

}  // namespace hashep::bench
