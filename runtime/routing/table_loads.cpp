// SPDX-License-Identifier: Apache-2.0
#include "runtime/routing/table_loads.hpp"

#include <algorithm>
#include <numeric>
#include <string>

#include "core/error.hpp"

namespace hashep {
namespace {

/// Adds to `loads` what spread ids load their rows with, less what table_loads adds for them.
void move_spread_counts(const SpreadRows& spread, int top_k, std::span<const int64_t> counts,
                        std::vector<int64_t>& loads) {
  const int32_t* expert = spread.experts.data();
  for (size_t i = 0; i < spread.ids.size(); ++i) {
    const int64_t count = counts[static_cast<size_t>(spread.ids[i])];
    const int64_t num_rows = spread.offsets[i + 1] - spread.offsets[i];
    for (int64_t row = 0; row < num_rows; ++row) {
      const int64_t share = count / num_rows + (row < count % num_rows ? 1 : 0);
      const int64_t added = row == 0 ? share - count : share;  // the first is also in tid2eid
      for (int choice = 0; choice < top_k; ++choice) {
        loads[static_cast<size_t>(*expert++)] += added;
      }
    }
  }
}

}  // namespace

std::vector<int64_t> table_loads(const RoutingTable& table, std::span<const int64_t> counts,
                                 int64_t num_experts) {
  if (std::ssize(counts) != table.vocab_size) {
    throw RunError("table_loads: counts of " + std::to_string(counts.size()) + " ids, expected " +
                   std::to_string(table.vocab_size));
  }
  std::vector<int64_t> loads(static_cast<size_t>(num_experts));
  if (table.spread) move_spread_counts(*table.spread, table.top_k, counts, loads);
  const int32_t* expert = table.experts.data();
  for (const int64_t count : counts) {
    for (int choice = 0; choice < table.top_k; ++choice) {
      loads[static_cast<size_t>(*expert++)] += count;
    }
  }
  return loads;
}

double load_bound(std::span<const int64_t> counts, int64_t num_parts, int top_k) {
  const int64_t total = std::accumulate(counts.begin(), counts.end(), int64_t{0});
  if (total == 0) return 1.0;
  const int64_t heaviest = *std::max_element(counts.begin(), counts.end());
  const int64_t most_choices = (top_k + num_parts - 1) / num_parts;  // on one part, at least
  const double share = static_cast<double>(heaviest) / static_cast<double>(total);
  const double choices = static_cast<double>(most_choices) / static_cast<double>(top_k);
  return std::max(1.0, share * choices * static_cast<double>(num_parts));
}

LoadFactors table_load_factors(const RoutingTable& table, std::span<const int64_t> counts,
                               const Placement& placement) {
  return load_factors(table_loads(table, counts, placement.num_experts()), placement);
}

}  // namespace hashep
