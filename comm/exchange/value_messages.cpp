// SPDX-License-Identifier: Apache-2.0
#include "comm/exchange/value_messages.hpp"

#include <algorithm>

#include "kernels/require.hpp"

namespace hashep {
namespace {

void require_sizes(const ExchangePlan& plan, size_t values, size_t rows) {
  require(values == plan.experts.size() && std::cmp_equal(rows, plan.total_recv()),
          "values beside rows: not one for each assignment and row");
}

}  // namespace

void ValueMessages::reserve(const ExchangePlan& plan) {
  at_source_.resize(std::max(at_source_.size(), static_cast<size_t>(plan.total_send())));
  at_owner_.resize(std::max(at_owner_.size(), static_cast<size_t>(plan.total_recv())));
}

void ValueMessages::set_sizes(const ExchangePlan& plan) {
  reserve(plan);
  source_.set(plan.send_counts, plan.send_displs);
  owner_.set(plan.recv_counts, plan.recv_displs);
}

void ValueMessages::send(const ExchangePlan& plan, std::span<const float> values,
                         std::span<float> rows) {
  require_sizes(plan, values.size(), rows.size());
  set_sizes(plan);
  for (size_t a = 0; a < values.size(); ++a) {
    if (plan.send_rows[a] >= 0) at_source_[plan.send_rows[a]] = values[a];
  }
  all_to_all(source_, at_source_.data(), owner_, at_owner_.data());
  for (const RowBlock& block : plan.landing_blocks) {
    std::copy_n(at_owner_.data() + block.message_row, block.count, rows.data() + block.expert_row);
  }
}

void ValueMessages::send_back(const ExchangePlan& plan, std::span<const float> rows,
                              std::span<float> values) {
  require_sizes(plan, values.size(), rows.size());
  set_sizes(plan);
  for (const RowBlock& block : plan.landing_blocks) {
    std::copy_n(rows.data() + block.expert_row, block.count, at_owner_.data() + block.message_row);
  }
  all_to_all(owner_, at_owner_.data(), source_, at_source_.data());
  for (size_t a = 0; a < values.size(); ++a) {
    values[a] = plan.send_rows[a] < 0 ? 0.0f : at_source_[plan.send_rows[a]];
  }
}

/// By the non-blocking call: only that can be waited for under a deadline.
void ValueMessages::all_to_all(const RowsByRank& from, const float* send, const RowsByRank& to,
                               float* recv) {
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Ialltoallv(send, from.counts.data(), from.displs.data(), MPI_FLOAT, recv,
                           to.counts.data(), to.displs.data(), MPI_FLOAT, comm_.get(), &request),
            "MPI_Ialltoallv");
  watch_.count_collective();
  watch_.wait(request);
}

}  // namespace hashep
