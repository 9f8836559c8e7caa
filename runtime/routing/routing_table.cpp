// SPDX-License-Identifier: Apache-2.0
#include "hashep/routing_table.hpp"

#include <algorithm>

#include "hashep/error.hpp"
#include "runtime/routing/route_checks.hpp"

namespace hashep {
namespace {

/// `experts` is [rows, top_k]: entries in [0, num_experts), distinct in a row. `what` names a row.
void validate_rows(std::span<const int32_t> experts, int top_k, int64_t num_experts,
                   const std::string& what) {
  constexpr int64_t kNoRow = -1;
  // Who does not know num_experts passes a large one: memory follows the experts that occur.
  const int64_t largest = experts.empty() ? 0 : *std::max_element(experts.begin(), experts.end());
  std::vector<int64_t> last_row(std::clamp<int64_t>(largest + 1, 1, num_experts), kNoRow);
  const auto num_rows = std::ssize(experts) / top_k;
  const int32_t* entry = experts.data();
  for (int64_t row = 0; row < num_rows; ++row) {
    for (int choice = 0; choice < top_k; ++choice, ++entry) {
      if (*entry < 0 || *entry >= num_experts) {
        throw InputError(what + " " + std::to_string(row) + " has expert " +
                         std::to_string(*entry) + ", outside [0, " + std::to_string(num_experts) +
                         ")");
      }
      int64_t& seen_in = last_row[*entry];
      if (seen_in == row) {
        throw InputError(what + " " + std::to_string(row) + " repeats expert " +
                         std::to_string(*entry));
      }
      seen_in = row;
    }
  }
}

/// Ids ascend within the vocabulary, and offsets give each at least one of the rows.
void validate_spread_layout(const RoutingTable& table, const std::string& source) {
  const SpreadRows& spread = *table.spread;
  if (spread.offsets.size() != spread.ids.size() + 1) {
    throw InputError(source + ": " + std::to_string(spread.offsets.size()) +
                     " spread offsets for " + std::to_string(spread.ids.size()) +
                     " ids, expected one more than ids");
  }
  const auto num_rows = std::ssize(spread.experts) / table.top_k;
  if (spread.offsets.front() != 0 || spread.offsets.back() != num_rows ||
      std::ssize(spread.experts) % table.top_k != 0) {
    throw InputError(source + ": spread offsets go from " + std::to_string(spread.offsets.front()) +
                     " to " + std::to_string(spread.offsets.back()) + ", expected 0 to " +
                     std::to_string(num_rows) + ", the number of spread rows");
  }
  int32_t previous = -1;
  for (size_t i = 0; i < spread.ids.size(); ++i) {
    const int32_t id = spread.ids[i];
    if (id <= previous || id >= table.vocab_size) {
      throw InputError(source + ": spread id " + std::to_string(id) + " after " +
                       std::to_string(previous) + ", expected ids to ascend in [0, " +
                       std::to_string(table.vocab_size) + ")");
    }
    previous = id;
    if (spread.offsets[i + 1] <= spread.offsets[i]) {
      throw InputError(source + ": spread id " + std::to_string(id) + " has no row");
    }
  }
}

void validate_spread(const RoutingTable& table, int64_t num_experts, const std::string& source) {
  validate_spread_layout(table, source);
  const SpreadRows& spread = *table.spread;
  validate_rows(spread.experts, table.top_k, num_experts, source + ": spread row");
  for (size_t i = 0; i < spread.ids.size(); ++i) {
    const auto row = table.experts.begin() + int64_t{spread.ids[i]} * table.top_k;
    const auto first = spread.experts.begin() + spread.offsets[i] * table.top_k;
    if (!std::equal(row, row + table.top_k, first)) {
      throw InputError(source + ": the first spread row of id " + std::to_string(spread.ids[i]) +
                       " is not its row in tid2eid");
    }
  }
}

}  // namespace

void validate_table(const RoutingTable& table, int64_t num_experts, const std::string& source) {
  require_router_sizes(table.vocab_size, num_experts, table.top_k, source);
  const size_t expected = static_cast<size_t>(table.vocab_size) * static_cast<size_t>(table.top_k);
  if (table.experts.size() != expected) {
    throw InputError(source + ": table of " + std::to_string(table.experts.size()) +
                     " entries, expected " + std::to_string(table.vocab_size) + " x " +
                     std::to_string(table.top_k));
  }
  validate_rows(table.experts, table.top_k, num_experts, source + ": row");
  if (table.spread) validate_spread(table, num_experts, source);
}

}  // namespace hashep
