// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "runtime/routing/router.hpp"
#include "runtime/routing/routing_table.hpp"

namespace hashep {

/// Router by table: a token's experts are row `id` of its layer's tid2eid.
class TableRouter final : public Router {
 public:
  /// Takes a table that validate_table has passed.
  TableRouter(RoutingTable table, int64_t num_experts);

  int64_t num_experts() const override { return num_experts_; }
  int top_k() const override { return table_.top_k; }
  const RoutingTable& table() const { return table_; }
  void route(const TokenBatch& batch, std::span<int32_t> experts) const override;

 private:
  RoutingTable table_;
  int64_t num_experts_;
};

}  // namespace hashep
