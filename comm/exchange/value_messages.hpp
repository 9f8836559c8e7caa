// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/exchange/rows_by_rank.hpp"
#include "comm/watch.hpp"
#include "hashep/exchange_plan.hpp"

namespace hashep {

/// A float for each assignment, which goes where its row goes, or comes back (Exchange::send_values
/// and return_values): 4 bytes an assignment by one all-to-all, of which the plan knows the sizes.
class ValueMessages {
 public:
  /// References must outlive this.
  ValueMessages(const Communicator& comm, Watch& watch) : comm_(comm), watch_(watch) {}

  /// Makes room for a plan's values. Local.
  void reserve(const ExchangePlan& plan);

  // Collective. values: [plan.tokens * plan.top_k]; rows: [plan.total_recv()].
  void send(const ExchangePlan& plan, std::span<const float> values, std::span<float> rows);
  void send_back(const ExchangePlan& plan, std::span<const float> rows, std::span<float> values);

 private:
  void all_to_all(const RowsByRank& from, const float* send, const RowsByRank& to, float* recv);
  void set_sizes(const ExchangePlan& plan);

  const Communicator& comm_;
  Watch& watch_;
  RowsByRank source_;
  RowsByRank owner_;
  std::vector<float> at_source_;  // rank-major
  std::vector<float> at_owner_;   // rank-major
};

}  // namespace hashep
