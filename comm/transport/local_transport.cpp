// SPDX-License-Identifier: Apache-2.0
#include "comm/transport/local_transport.hpp"

#include <algorithm>
#include <cstring>

#include "kernels/combine.hpp"

namespace hashep {
namespace {

/// Calls body(token, send_row, landing place at the owner) for each assignment but those of
/// padding.
template <typename Body>
void for_each_row(const ExchangePlan& plan, std::span<const MatrixView> expert_rows, Body&& body) {
  for (int64_t token = 0; token < plan.tokens; ++token) {
    for (int64_t a = token * plan.top_k; a < (token + 1) * plan.top_k; ++a) {
      const int64_t send_row = plan.send_rows[static_cast<size_t>(a)];
      if (send_row < 0) continue;
      const auto expert = static_cast<size_t>(plan.experts[static_cast<size_t>(a)]);
      const auto owner =
          std::upper_bound(plan.send_displs.begin(), plan.send_displs.end(), send_row) -
          plan.send_displs.begin() - 1;
      const int64_t landing_row =
          plan.landing_rows[expert] + send_row - plan.expert_send_rows[expert];
      body(token, send_row, expert_rows[static_cast<size_t>(owner)].row(landing_row));
    }
  }
}

}  // namespace

LocalGroup::LocalGroup(int ep_size)
    : barrier_(ep_size), expert_rows_(static_cast<size_t>(ep_size)) {}

LocalTransport::LocalTransport(LocalGroup& group, int ep_rank) : group_(group), ep_rank_(ep_rank) {}

void LocalTransport::reserve(std::span<const ExchangePlan> plans, DType dtype,
                             int64_t hidden_size) {
  dtype_ = dtype;
  hidden_size_ = hidden_size;
  for (const ExchangePlan& plan : plans) {
    expert_buffer_.reserve(plan.total_recv() * hidden_size * dtype_size(dtype));
    returned_buffer_.reserve(plan.total_send() * hidden_size * dtype_size(dtype));
  }
}

MatrixView LocalTransport::dispatch(const ExchangePlan& plan, ConstMatrixView x) {
  const MatrixView mine = expert_buffer_.matrix(dtype_, plan.total_recv(), hidden_size_);
  group_.expert_rows_[static_cast<size_t>(ep_rank_)] = mine;
  group_.barrier_.arrive_and_wait();  // all buffers are known
  for_each_row(plan, group_.expert_rows_, [&x](int64_t token, int64_t, std::byte* landing) {
    std::memcpy(landing, x.row(token), static_cast<size_t>(x.row_bytes()));
  });
  group_.barrier_.arrive_and_wait();  // all rows have landed
  return mine;
}

void LocalTransport::combine(const ExchangePlan& plan, std::span<const float> weights,
                             ConstMatrixView shared, MatrixView y) {
  const MatrixView returned = returned_buffer_.matrix(dtype_, plan.total_send(), hidden_size_);
  group_.barrier_.arrive_and_wait();  // all experts are done
  for_each_row(plan, group_.expert_rows_, [&](int64_t, int64_t send_row, const std::byte* landing) {
    std::memcpy(returned.row(send_row), landing, static_cast<size_t>(returned.row_bytes()));
  });
  group_.barrier_.arrive_and_wait();  // all rows have been fetched
  combine_rows({.rows = returned,
                .row_of = plan.send_rows,
                .top_k = plan.top_k,
                .weights = weights,
                .shared = shared},
               y, 1);
}

int64_t LocalTransport::buffer_bytes() const {
  return expert_buffer_.capacity() + returned_buffer_.capacity();
}

}  // namespace hashep
