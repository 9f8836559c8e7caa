// SPDX-License-Identifier: Apache-2.0
#include "comm/exchange/local_transport.hpp"

#include "kernels/rows/combine.hpp"
#include "kernels/rows/scatter.hpp"

namespace hashep {
LocalGroup::LocalGroup(int ep_size)
    : barrier_(ep_size), expert_rows_(static_cast<size_t>(ep_size)) {}

LocalTransport::LocalTransport(LocalGroup& group, int ep_rank) : group_(group), ep_rank_(ep_rank) {}

void LocalTransport::reserve(std::span<const ExchangePlan> plans, DType dtype,
                             int64_t hidden_size) {
  dtype_ = dtype;
  hidden_size_ = hidden_size;
  for (const ExchangePlan& plan : plans) {
    expert_buffer_.reserve(plan.total_recv() * hidden_size * dtype_size(dtype));
    places_.reserve(static_cast<size_t>(plan.num_experts));
  }
}

MatrixView LocalTransport::dispatch(const ExchangePlan& plan, ConstMatrixView x) {
  const MatrixView mine = expert_buffer_.matrix(dtype_, plan.total_recv(), hidden_size_);
  group_.expert_rows_[static_cast<size_t>(ep_rank_)] = mine;
  group_.barrier_.arrive_and_wait();  // all buffers are known
  find_places(plan);
  scatter_rows(x, {plan.experts, plan.send_rows, plan.top_k, places_}, false, 1);
  group_.barrier_.arrive_and_wait();  // all rows have landed
  return mine;
}

void LocalTransport::combine(const ExchangePlan& plan, std::span<const float> weights,
                             ConstMatrixView shared, MatrixView y) {
  group_.barrier_.arrive_and_wait();  // all experts are done
  combine_rows({.places = places_,
                .experts = plan.experts,
                .row_of = plan.send_rows,
                .top_k = plan.top_k,
                .weights = weights,
                .shared = shared},
               y, 1);
  group_.barrier_.arrive_and_wait();  // all rows have been fetched
}

void LocalTransport::find_places(const ExchangePlan& plan) {
  places_.clear();
  for (size_t expert = 0; expert < plan.expert_ranks.size(); ++expert) {
    const auto owner = static_cast<size_t>(plan.expert_ranks[expert]);
    places_.push_back({group_.expert_rows_[owner].data,
                       plan.landing_rows[expert] - plan.expert_send_rows[expert]});
  }
}

}  // namespace hashep
