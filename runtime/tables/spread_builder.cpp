// SPDX-License-Identifier: Apache-2.0
#include "runtime/tables/spread_builder.hpp"

#include <cmath>
#include <numeric>

#include "hashep/error.hpp"
#include "runtime/routing/route_checks.hpp"

namespace hashep {
namespace {

/// Deals the count of an id evenly to its rows, of which the first is its own.
void deal_count(int32_t id, int64_t num_rows, SpreadCounts& spread) {
  const int64_t count = spread.counts[id];
  for (int64_t row = 0; row < num_rows; ++row) {
    const int64_t share = count / num_rows + (row < count % num_rows ? 1 : 0);
    if (row == 0) {
      spread.counts[id] = share;
    } else {
      spread.counts.push_back(share);
    }
  }
}

}  // namespace

SpreadCounts spread_counts(std::span<const int64_t> counts, int64_t num_experts, int top_k,
                           double limit) {
  require_router_sizes(std::ssize(counts), num_experts, top_k, "spread rows");
  if (!std::isfinite(limit) || limit < kLeastSpreadLimit) {
    throw InputError("the limit of spread rows must be a number from 0.05 on");
  }
  SpreadCounts spread{.vocab_size = std::ssize(counts),
                      .counts = {counts.begin(), counts.end()},
                      .ids = {},
                      .offsets = {0}};
  const auto total = static_cast<double>(std::accumulate(counts.begin(), counts.end(), int64_t{0}));
  const double mean = total * top_k / static_cast<double>(num_experts);  // load of an expert
  for (size_t id = 0; id < counts.size(); ++id) {
    const auto count = static_cast<double>(counts[id]);
    if (count <= limit * mean) continue;
    const auto num_rows = static_cast<int64_t>(std::ceil(count / (limit * mean)));
    spread.ids.push_back(static_cast<int32_t>(id));
    spread.offsets.push_back(spread.offsets.back() + num_rows);
    deal_count(static_cast<int32_t>(id), num_rows, spread);
  }
  return spread;
}

RoutingTable fold_spread_rows(const RoutingTable& built, const SpreadCounts& spread) {
  if (built.vocab_size != std::ssize(spread.counts)) {
    throw RunError("fold_spread_rows: a table of " + std::to_string(built.vocab_size) +
                   " rows, expected " + std::to_string(spread.counts.size()));
  }
  const auto end_of_ids = built.experts.begin() + spread.vocab_size * built.top_k;
  RoutingTable table{spread.vocab_size, built.top_k, {built.experts.begin(), end_of_ids}};
  SpreadRows& rows = table.spread.emplace();
  rows.ids = spread.ids;
  rows.offsets = spread.offsets;
  auto further = end_of_ids;
  for (size_t i = 0; i < spread.ids.size(); ++i) {
    const auto first = built.experts.begin() + int64_t{spread.ids[i]} * built.top_k;
    rows.experts.insert(rows.experts.end(), first, first + built.top_k);
    const int64_t num_further = spread.offsets[i + 1] - spread.offsets[i] - 1;
    rows.experts.insert(rows.experts.end(), further, further + num_further * built.top_k);
    further += num_further * built.top_k;
  }
  return table;
}

RoutingTable unfold_spread_rows(const RoutingTable& table) {
  RoutingTable rows = table;
  rows.spread.reset();
  if (!table.spread) return rows;
  const SpreadRows& spread = *table.spread;
  for (size_t i = 0; i < spread.ids.size(); ++i) {
    rows.experts.insert(rows.experts.end(),
                        spread.experts.begin() + (spread.offsets[i] + 1) * table.top_k,
                        spread.experts.begin() + spread.offsets[i + 1] * table.top_k);
  }
  rows.vocab_size = std::ssize(rows.experts) / table.top_k;
  return rows;
}

SpreadCounts counts_of_rows(const RoutingTable& table, std::span<const int64_t> counts) {
  SpreadCounts spread{.vocab_size = table.vocab_size,
                      .counts = {counts.begin(), counts.end()},
                      .ids = {},
                      .offsets = {0}};
  if (!table.spread) return spread;
  spread.ids = table.spread->ids;
  spread.offsets = table.spread->offsets;
  for (size_t i = 0; i < spread.ids.size(); ++i) {
    deal_count(spread.ids[i], spread.offsets[i + 1] - spread.offsets[i], spread);
  }
  return spread;
}

}  // namespace hashep
