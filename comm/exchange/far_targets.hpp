// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "hashep/exchange_plan.hpp"

namespace hashep {

/// What travels with the rows that one rank sends to its peer on another node: where the peer is to
/// put each row, and which results it is to return. One block of bytes, so that it is one message;
/// both sides know its layout from their plans. Owners are places among the ranks of the peer's
/// node, rows are the owner's expert-major rows.
struct FarTargets {
  int64_t num_rows = 0;
  int64_t num_returns = 0;
  int top_k = 1;

  // The arrays of a block that begins at `data`, 8-byte words first.
  std::span<int64_t> rows(std::byte* data) const {  // [num_rows, top_k]; -1: no such choice here
    return {reinterpret_cast<int64_t*>(data), static_cast<size_t>(num_rows * top_k)};
  }
  std::span<int64_t> return_rows(std::byte* data) const {  // [num_returns], in order of results
    return {rows(data).data() + num_rows * top_k, static_cast<size_t>(num_returns)};
  }
  std::span<int32_t> owners(std::byte* data) const {  // [num_rows, top_k]
    return {reinterpret_cast<int32_t*>(return_rows(data).data() + num_returns),
            static_cast<size_t>(num_rows * top_k)};
  }
  std::span<int32_t> return_owners(std::byte* data) const {  // [num_returns]
    return {owners(data).data() + num_rows * top_k, static_cast<size_t>(num_returns)};
  }
  int64_t bytes() const {
    const int64_t pair = static_cast<int64_t>(sizeof(int64_t) + sizeof(int32_t));
    return pair * (num_rows * top_k + num_returns);
  }
};

/// Fills the block for the rows of plan.across.outgoing[index]: a pure function of the plan and of
/// where ranks run. `data`: FarTargets::bytes() of host memory, aligned to 8.
void fill_far_targets(const ExchangePlan& plan, const NodeMap& nodes, size_t index,
                      std::byte* data);

/// The shapes of the blocks that go with plan.across.outgoing[index] and come with incoming[index].
FarTargets outgoing_targets(const ExchangePlan& plan, size_t index);
FarTargets incoming_targets(const ExchangePlan& plan, size_t index);

}  // namespace hashep
