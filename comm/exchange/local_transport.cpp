// SPDX-License-Identifier: Apache-2.0
#include "comm/exchange/local_transport.hpp"

#include "comm/exchange/landing_places.hpp"
#include "kernels/rows/combine.hpp"
#include "kernels/rows/scatter.hpp"

namespace hashep {

class LocalTransport::LayerExchange final : public Exchange {
 public:
  explicit LayerExchange(LocalTransport& transport) : transport_(transport) {}

  void begin(const ExchangePlan& plan) override {
    plan_ = &plan;
    places_.resize(plan.num_experts);
    for (size_t expert = 0; expert < places_.size(); ++expert) {
      const auto owner = static_cast<size_t>(plan.expert_ranks[expert]);
      places_[expert] = landing_place(plan, expert, transport_.group_.expert_rows_[owner]);
    }
  }

  std::span<const int32_t> experts() const override { return plan_->experts; }

  void dispatch(int, ConstMatrixView x, DeviceStream) override {
    scatter_rows(x, {plan_->experts, plan_->send_rows, plan_->top_k, places_}, false, 1);
    transport_.group_.barrier_.arrive_and_wait();  // all rows have landed
  }

  void give_back(int, std::span<const float>, DeviceStream) override {
    transport_.group_.barrier_.arrive_and_wait();  // all experts are done
  }

  void combine(std::span<const float> weights, ConstMatrixView shared, MatrixView y,
               DeviceStream) override {
    combine_rows({.places = places_,
                  .experts = plan_->experts,
                  .row_of = plan_->send_rows,
                  .top_k = plan_->top_k,
                  .weights = weights,
                  .shared = shared},
                 y, 1);
    transport_.group_.barrier_.arrive_and_wait();  // all rows have been fetched
  }

  void send_values(std::span<const float> values, std::span<float> rows) override {
    share_values(rows);
    for (size_t a = 0; a < values.size(); ++a) {
      if (plan_->experts[a] >= 0) place_of_value(a) = values[a];
    }
    transport_.group_.barrier_.arrive_and_wait();  // all values have landed
  }

  void return_values(std::span<const float> rows, std::span<float> values) override {
    // Other ranks only read them.
    share_values({const_cast<float*>(rows.data()), rows.size()});
    for (size_t a = 0; a < values.size(); ++a) {
      values[a] = plan_->experts[a] < 0 ? 0.0f : place_of_value(a);
    }
    transport_.group_.barrier_.arrive_and_wait();  // all values have been fetched
  }

 private:
  void share_values(std::span<float> rows) {
    transport_.group_.values_[transport_.ep_rank_] = rows;
    transport_.group_.barrier_.arrive_and_wait();
  }
  float& place_of_value(size_t assignment) const {
    const auto expert = static_cast<size_t>(plan_->experts[assignment]);
    const int64_t row = plan_->landing_rows[expert] + plan_->send_rows[assignment] -
                        plan_->expert_send_rows[expert];
    return transport_.group_.values_[plan_->expert_ranks[expert]][row];
  }

  LocalTransport& transport_;
  const ExchangePlan* plan_ = nullptr;
  std::vector<ExpertPlace> places_;  // [num_experts]
};

LocalGroup::LocalGroup(int ep_size) : barrier_(ep_size), expert_rows_(ep_size), values_(ep_size) {}

LocalTransport::LocalTransport(LocalGroup& group, int ep_rank) : group_(group), ep_rank_(ep_rank) {}

bool LocalTransport::reserve(std::span<const ExchangePlan> plans, DType dtype, int64_t hidden_size,
                             const BeforeFree&) {
  dtype_ = dtype;
  hidden_size_ = hidden_size;
  for (const ExchangePlan& plan : plans) {
    expert_buffer_.reserve(plan.total_recv() * hidden_size * dtype_size(dtype));
  }
  group_.expert_rows_[ep_rank_] = expert_buffer_.data();
  group_.barrier_.arrive_and_wait();  // all buffers are known
  return true;                        // any rank's may be another one
}

std::unique_ptr<Exchange> LocalTransport::make_exchange() {
  return std::make_unique<LayerExchange>(*this);
}

}  // namespace hashep
