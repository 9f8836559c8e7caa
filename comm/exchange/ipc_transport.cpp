// SPDX-License-Identifier: Apache-2.0
#include "comm/exchange/ipc_transport.hpp"

#include <array>

#include "comm/exchange/landing_places.hpp"
#include "comm/exchange/wait_for_stream.hpp"
#include "comm/plan/message_schedule.hpp"
#include "kernels/rows/combine.hpp"
#include "kernels/rows/scatter.hpp"

namespace hashep {

class IpcTransport::LayerExchange final : public Exchange {
 public:
  explicit LayerExchange(const IpcTransport& transport) : transport_(transport) {}

  void begin(const ExchangePlan& plan) override {
    plan_ = &plan;
    top_k_ = plan.top_k;
    num_rows_ = plan.tokens;
    num_parts_ = transport_.parts_ ? *transport_.parts_ : choose_parts(plan, transport_.row_bytes_);
    for (int part = 0; part < num_parts_; ++part) {
      part_ends_[at(part)] = part_rows(plan, num_parts_, part).end;
    }
  }

  void pad_to(int64_t rows) override { num_rows_ = rows; }

  void lay_out(ArrayLayout& arrays) override {
    experts_ = arrays.add_padded<int32_t>(plan_->experts, num_rows_ * top_k_, -1);
    send_rows_ = arrays.add_padded<int64_t>(plan_->send_rows, num_rows_ * top_k_, -1);
    const auto places = arrays.make<ExpertPlace>(plan_->num_experts, places_);
    if (arrays.is_real()) transport_.rows_.find_places(*plan_, places);
    if (num_parts_ == 1) {
      part_places_[0] = places_;
      return;
    }
    for (int part = 0; part < num_parts_; ++part) {
      const auto of_part = arrays.make<ExpertPlace>(plan_->num_experts, part_places_[at(part)]);
      if (arrays.is_real()) keep_part(*plan_, num_parts_, part, places, of_part);
    }
  }

  std::span<const int32_t> experts() const override { return experts_; }
  int num_parts() const override { return num_parts_; }

  int part_of(Range rows) const override {
    int part = 0;
    while (part + 1 < num_parts_ && rows.end > part_ends_[at(part)]) ++part;
    return part;
  }

  void dispatch(int part, ConstMatrixView x, DeviceStream stream) override {
    if (part == 0) transport_.signals_.begin(stream);
    scatter_rows(x, {experts_, send_rows_, top_k_, part_places_[at(part)]}, stream);
    transport_.signals_.meet(
        part + 1 == num_parts_ ? ExchangeStage::landed : ExchangeStage::near_landed, stream);
  }

  void give_back(int part, std::span<const float>, DeviceStream stream) override {
    if (part + 1 == num_parts_) transport_.signals_.meet(ExchangeStage::computed, stream);
  }

  void combine(std::span<const float> weights, ConstMatrixView shared, MatrixView y,
               DeviceStream stream) override {
    combine_rows({.places = places_,
                  .experts = experts_,
                  .row_of = send_rows_,
                  .top_k = top_k_,
                  .weights = weights,
                  .shared = shared},
                 y, stream);
    transport_.signals_.set(ExchangeStage::fetched, stream);
  }

 private:
  static size_t at(int part) { return static_cast<size_t>(part); }

  const IpcTransport& transport_;
  const ExchangePlan* plan_ = nullptr;
  int top_k_ = 1;
  int64_t num_rows_ = 0;
  int num_parts_ = 1;
  std::array<int64_t, kMaxParts> part_ends_{};  // expert-major rows

  // In GPU memory.
  std::span<const int32_t> experts_;     // [num_rows * top_k]
  std::span<const int64_t> send_rows_;   // [num_rows * top_k]
  std::span<const ExpertPlace> places_;  // [num_experts]: where send_rows lead to
  std::array<std::span<const ExpertPlace>, kMaxParts> part_places_;  // the same, of one part
};

IpcTransport::IpcTransport(const Topology& topology, int ep_rank, Watch& watch,
                           std::optional<int> parts)
    : watch_(watch),
      parts_(parts),
      rows_(topology, ep_rank, watch),
      signals_(topology, ep_rank, watch) {
  // There is a mark for the first part's rows, and one for all.
  if (parts && *parts > 2) throw RunError("transport ipc: an exchange has at most 2 parts");
}

bool IpcTransport::reserve(std::span<const ExchangePlan> plans, DType dtype, int64_t hidden_size,
                           const BeforeFree& before_free) {
  row_bytes_ = hidden_size * dtype_size(dtype);
  return rows_.reserve(plans, dtype, hidden_size, before_free);
}

void IpcTransport::wait_for(DeviceStream stream) {
  wait_for_stream(stream, watch_, [this] { check(); });
}

std::unique_ptr<Exchange> IpcTransport::make_exchange() {
  return std::make_unique<LayerExchange>(*this);
}

}  // namespace hashep
