// SPDX-License-Identifier: Apache-2.0
#include "runtime/tables/table_loads.hpp"

#include <algorithm>
#include <numeric>
#include <string>

#include "hashep/error.hpp"
#include "runtime/tables/spread_builder.hpp"

namespace hashep {
std::vector<int64_t> table_loads(const RoutingTable& table, std::span<const int64_t> counts,
                                 int64_t num_experts) {
  if (std::ssize(counts) != table.vocab_size) {
    throw RunError("table_loads: counts of " + std::to_string(counts.size()) + " ids, expected " +
                   std::to_string(table.vocab_size));
  }
  if (table.spread) {
    const SpreadCounts rows = counts_of_rows(table, counts);
    return table_loads(unfold_spread_rows(table), rows.counts, num_experts);
  }
  std::vector<int64_t> loads(num_experts);
  const int32_t* expert = table.experts.data();
  for (const int64_t count : counts) {
    for (int choice = 0; choice < table.top_k; ++choice) {
      loads[*expert++] += count;
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

double rank_load_bound(std::span<const int64_t> counts, const Placement& placement, int top_k) {
  const bool is_empty = std::all_of(counts.begin(), counts.end(), [](int64_t n) { return n == 0; });
  if (is_empty) return 1.0;
  int64_t owners = 0;
  for (int rank = 0; rank < placement.ep_size(); ++rank) {
    if (!placement.local_experts(rank).empty()) ++owners;
  }
  return load_bound(counts, owners, top_k) * placement.ep_size() / static_cast<double>(owners);
}

LoadFactors table_load_factors(const RoutingTable& table, std::span<const int64_t> counts,
                               const Placement& placement) {
  return load_factors(table_loads(table, counts, placement.num_experts()), placement);
}

}  // namespace hashep
