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
  /// `tables`: one for each layer, or one for all of them. Throws InputError where there is none,
  /// or one is not as validate_table wants it.
  TableRouter(std::vector<RoutingTable> tables, int64_t num_experts);

  /// The table of a layer.
  const RoutingTable& table(int64_t layer) const { return of_layer(layer).table; }
  /// Throws InputError where there is no table for the layer, or its sizes are others.
  void route(const TokenBatch& batch, const RoutedLayer& layer,
             std::span<int32_t> experts) const override;
  uint64_t digest() const override;
  bool is_trusted() const override { return true; }

 private:
  struct LayerTable {
    RoutingTable table;
    std::vector<int32_t> spread_index;  ///< [vocab_size]: place in spread->ids, or -1; else empty
  };

  const LayerTable& of_layer(int64_t layer) const;

  std::vector<LayerTable> tables_;
  int64_t num_experts_;
};

}  // namespace hashep
