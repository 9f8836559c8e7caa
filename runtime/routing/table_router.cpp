// SPDX-License-Identifier: Apache-2.0
#include "hashep/table_router.hpp"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>
#include <type_traits>
#include <utility>

#include "hashep/error.hpp"
#include "runtime/routing/route_checks.hpp"

namespace hashep {
namespace {

/// How many tokens ahead a row is asked for: wide rows make a table that does not fit in a core's
/// own cache.
constexpr size_t kPrefetchDistance = 32;

/// A copy whose size the compiler knows is a few moves, one of an unknown size is a call: `TopK` is
/// an integral_constant for the usual sizes, else size_t.
template <typename TopK>
void copy_rows(const TokenBatch& batch, const RoutingTable& table, TopK top_k, int32_t* experts) {
  const int32_t* const ids = batch.ids.data();
  const size_t num_tokens = batch.ids.size();
  const int32_t* const rows = table.experts.data();
  const int64_t vocab_size = table.vocab_size;
  const auto row_of = [=](int32_t id) { return rows + static_cast<size_t>(id) * top_k; };
  for (size_t i = 0; i < num_tokens; ++i, experts += top_k) {
    if (top_k > 1 && i + kPrefetchDistance < num_tokens) {
      const int32_t ahead = ids[i + kPrefetchDistance];
      if (is_known_id(ahead, vocab_size)) __builtin_prefetch(row_of(ahead));
    }
    const int32_t id = ids[i];
    if (is_known_id(id, vocab_size)) {
      std::memcpy(experts, row_of(id), sizeof(int32_t) * top_k);
    } else if (id == kPaddingId) {
      std::fill_n(experts, size_t{top_k}, -1);
    } else {
      throw_unknown_id(batch, i, vocab_size);
    }
  }
}

template <size_t top_k>
using Constant = std::integral_constant<size_t, top_k>;

void copy_rows(const TokenBatch& batch, const RoutingTable& table, int32_t* experts) {
  switch (table.top_k) {
    case 1:
      return copy_rows(batch, table, Constant<1>{}, experts);
    case 2:
      return copy_rows(batch, table, Constant<2>{}, experts);
    case 4:
      return copy_rows(batch, table, Constant<4>{}, experts);
    case 6:
      return copy_rows(batch, table, Constant<6>{}, experts);
    case 8:
      return copy_rows(batch, table, Constant<8>{}, experts);
    default:
      return copy_rows(batch, table, static_cast<size_t>(table.top_k), experts);
  }
}

/// Each token has its row of tid2eid already, so all ids are known or padding.
void take_spread_rows(const TokenBatch& batch, const RoutingTable& table,
                      std::span<const int32_t> spread_index, std::span<int32_t> experts) {
  const SpreadRows& spread = *table.spread;
  const auto top_k = static_cast<size_t>(table.top_k);
  for (size_t i = 0; i < batch.ids.size(); ++i) {
    if (batch.ids[i] == kPaddingId) continue;
    const int32_t index = spread_index[batch.ids[i]];
    if (index < 0) continue;
    const int64_t first = spread.offsets[index];
    const int64_t num_rows = spread.offsets[index + 1] - first;
    const int64_t position = position_of(batch, static_cast<int64_t>(i));
    const int64_t row = first + spread_row(position, spread.seed, num_rows);
    std::copy_n(spread.experts.data() + static_cast<size_t>(row) * top_k, top_k,
                experts.data() + i * top_k);
  }
}

/// Place in spread->ids of each id that is there, else -1.
std::vector<int32_t> index_spread_ids(const RoutingTable& table) {
  if (!table.spread || table.spread->ids.empty()) return {};
  std::vector<int32_t> index(table.vocab_size, -1);
  for (size_t i = 0; i < table.spread->ids.size(); ++i) {
    index[table.spread->ids[i]] = static_cast<int32_t>(i);
  }
  return index;
}

}  // namespace

TableRouter::TableRouter(std::vector<RoutingTable> tables, int64_t num_experts)
    : num_experts_(num_experts) {
  if (tables.empty()) throw InputError("table router: no table");
  for (RoutingTable& table : tables) {
    validate_table(table, num_experts, "table " + std::to_string(tables_.size()));
    std::vector<int32_t> spread_index = index_spread_ids(table);
    tables_.push_back({std::move(table), std::move(spread_index)});
  }
}

const TableRouter::LayerTable& TableRouter::of_layer(int64_t layer) const {
  if (tables_.size() == 1) return tables_.front();
  if (layer >= 0 && layer < std::ssize(tables_)) return tables_[layer];
  throw InputError("table router: no table for layer " + std::to_string(layer) + " among " +
                   std::to_string(tables_.size()));
}

void TableRouter::route(const TokenBatch& batch, const RoutedLayer& layer,
                        std::span<int32_t> experts) const {
  const auto& [table, spread_index] = of_layer(layer.layer);
  if (layer.num_experts != num_experts_ || layer.top_k != table.top_k) {
    throw InputError("table router: tables of " + std::to_string(table.top_k) + " of " +
                     std::to_string(num_experts_) + " experts for a layer of " +
                     std::to_string(layer.top_k) + " of " + std::to_string(layer.num_experts));
  }
  require_expert_span(batch, layer, experts);
  copy_rows(batch, table, experts.data());
  if (spread_index.empty() || batch.ids.empty()) return;
  if (batch.seq_len == 0 && batch.positions.empty()) {
    throw InputError("table router: spread rows need a batch's seq_len or positions");
  }
  take_spread_rows(batch, table, spread_index, experts);
}

uint64_t TableRouter::digest() const {
  uint64_t digest = 0;
  const auto add = [&](const auto& values) {
    digest = XXH64(values.data(), values.size() * sizeof(values[0]), digest);
  };
  for (const auto& [table, spread_index] : tables_) {
    add(std::array{table.vocab_size, int64_t{table.top_k}, num_experts_});
    add(table.experts);
    if (!table.spread) continue;
    add(table.spread->ids);
    add(table.spread->offsets);
    add(table.spread->experts);
    add(std::array{table.spread->seed});
  }
  return digest;
}

}  // namespace hashep
