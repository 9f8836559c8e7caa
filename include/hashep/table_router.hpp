// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "hashep/router.hpp"
#include "hashep/routing_table.hpp"

namespace hashep {

/// Router by table: a token's experts are row `id` of its layer's tid2eid, or, for an id that has
/// spread rows, the one of them that spread_row picks by the token's position in its sequence.
class TableRouter final : public Router {
 public:
  /// Takes a table that validate_table has passed.
  TableRouter(RoutingTable table, int64_t num_experts);

  int64_t num_experts() const override { return num_experts_; }
  int top_k() const override { return table_.top_k; }
  const RoutingTable& table() const { return table_; }
  void route(const TokenBatch& batch, std::span<int32_t> experts) const override;

 private:
  void take_spread_rows(const TokenBatch& batch, std::span<int32_t> experts) const;

  RoutingTable table_;
  int64_t num_experts_;
  std::vector<int32_t> spread_index_;  // [vocab_size]: place in spread->ids, or -1; else empty
};

}  // namespace hashep
