// SPDX-License-Identifier: Apache-2.0
#include "hashep/table_router.hpp"

#include <algorithm>
#include <cstring>
#include <span>
#include <type_traits>
#include <utility>

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
      throw_unknown_id(batch.first_index + static_cast<int64_t>(i), id, vocab_size);
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

}  // namespace

TableRouter::TableRouter(RoutingTable table, int64_t num_experts)
    : table_(std::move(table)), num_experts_(num_experts) {
  if (!table_.spread || table_.spread->ids.empty()) return;
  spread_index_.assign(static_cast<size_t>(table_.vocab_size), -1);
  for (size_t i = 0; i < table_.spread->ids.size(); ++i) {
    spread_index_[static_cast<size_t>(table_.spread->ids[i])] = static_cast<int32_t>(i);
  }
}

void TableRouter::route(const TokenBatch& batch, std::span<int32_t> experts) const {
  require_expert_span(batch, table_.top_k, experts);
  copy_rows(batch, table_, experts.data());
  if (!spread_index_.empty()) take_spread_rows(batch, experts);
}

/// Each token has its row of tid2eid already, so all ids are known or padding.
void TableRouter::take_spread_rows(const TokenBatch& batch, std::span<int32_t> experts) const {
  const SpreadRows& spread = *table_.spread;
  const auto top_k = static_cast<size_t>(table_.top_k);
  for (size_t i = 0; i < batch.ids.size(); ++i) {
    if (batch.ids[i] == kPaddingId) continue;
    const int32_t index = spread_index_[static_cast<size_t>(batch.ids[i])];
    if (index < 0) continue;
    const int64_t first = spread.offsets[static_cast<size_t>(index)];
    const int64_t num_rows = spread.offsets[static_cast<size_t>(index) + 1] - first;
    const int64_t position = (batch.first_index + static_cast<int64_t>(i)) % batch.seq_len;
    const int64_t row = first + spread_row(position, spread.seed, num_rows);
    std::copy_n(spread.experts.data() + static_cast<size_t>(row) * top_k, top_k,
                experts.data() + i * top_k);
  }
}

}  // namespace hashep
