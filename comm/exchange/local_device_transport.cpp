// SPDX-License-Identifier: Apache-2.0
#include "comm/exchange/local_device_transport.hpp"

#include <algorithm>
#include <string>

#include "comm/exchange/landing_places.hpp"
#include "hashep/error.hpp"
#include "kernels/rows/combine.hpp"
#include "kernels/rows/scatter.hpp"

namespace hashep {
namespace {

class LocalExchange final : public Exchange {
 public:
  explicit LocalExchange(LocalDeviceTransport& transport) : transport_(transport) {}

  void begin(const ExchangePlan& plan) override {
    if (plan.ep_size != 1) {
      throw RunError("transport local: the plan is one of " + std::to_string(plan.ep_size) +
                     " ranks");
    }
    plan_ = &plan;
    top_k_ = plan.top_k;
    rows_ = plan.tokens;
  }
  void pad_to(int64_t rows) override { rows_ = rows; }

  void lay_out(ArrayLayout& arrays) override {
    experts_ = arrays.add_padded<int32_t>(plan_->experts, rows_ * top_k_, -1);
    send_rows_ = arrays.add_padded<int64_t>(plan_->send_rows, rows_ * top_k_, -1);
    const auto places = arrays.make<ExpertPlace>(plan_->num_experts, places_);
    if (!arrays.is_real()) return;
    std::byte* const rows = transport_.expert_rows(*plan_).data;
    for (size_t expert = 0; expert < places.size(); ++expert) {
      places[expert] = landing_place(*plan_, expert, rows);
    }
  }

  std::span<const int32_t> experts() const override { return experts_; }

  void dispatch(int, ConstMatrixView x, DeviceStream stream) override {
    scatter_rows(x, {experts_, send_rows_, top_k_, places_}, stream);
  }

  void give_back(int, std::span<const float>, DeviceStream) override {}
  bool gives_back(int) const override { return false; }

  void combine(std::span<const float> weights, ConstMatrixView shared, MatrixView y,
               DeviceStream stream) override {
    combine_rows({.places = places_,
                  .experts = experts_,
                  .row_of = send_rows_,
                  .top_k = top_k_,
                  .weights = weights,
                  .shared = shared},
                 y, stream);
  }

 private:
  LocalDeviceTransport& transport_;
  const ExchangePlan* plan_ = nullptr;
  int top_k_ = 1;
  int64_t rows_ = 0;
  std::span<const int32_t> experts_;     // [rows * top_k]
  std::span<const int64_t> send_rows_;   // [rows * top_k]
  std::span<const ExpertPlace> places_;  // [num_experts]: where send_rows lead to
};

}  // namespace

bool LocalDeviceTransport::reserve(std::span<const ExchangePlan> plans, DType dtype,
                                   int64_t hidden_size, const BeforeFree& before_free) {
  dtype_ = dtype;
  hidden_size_ = hidden_size;
  int64_t rows = 0;
  for (const ExchangePlan& plan : plans) rows = std::max(rows, plan.total_recv());
  return rows_.reserve(rows * hidden_size * dtype_size(dtype), before_free);
}

std::unique_ptr<Exchange> LocalDeviceTransport::make_exchange() {
  return std::make_unique<LocalExchange>(*this);
}

}  // namespace hashep
