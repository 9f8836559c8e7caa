// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "core/array_layout.hpp"
#include "hashep/exchange_plan.hpp"

namespace hashep {

/// Which row of the outbox each row goes to that leaves for another node: one entry for each
/// (token, other node that needs it), in the order of tokens, so that what goes to several nodes is
/// read while it is in a cache. In GPU memory.
struct OutboxRows {
  std::span<const int32_t> tokens;  // [rows]
  std::span<const int32_t> boxes;   // [rows]: which of plan.across.outgoing
  std::span<const int64_t> rows;    // [rows]: among those of that box

  /// Adds the arrays: a pure function of the plan.
  void lay_out(const ExchangePlan& plan, ArrayLayout& arrays);
};

}  // namespace hashep
