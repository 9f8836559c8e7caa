// SPDX-License-Identifier: Apache-2.0
#include "runtime/routing/routing_table.hpp"

#include "core/error.hpp"
#include "runtime/routing/route_checks.hpp"

namespace hashep {

void validate_table(const RoutingTable& table, int64_t num_experts, const std::string& source) {
  require_router_sizes(table.vocab_size, num_experts, table.top_k, source);
  const size_t expected = static_cast<size_t>(table.vocab_size) * static_cast<size_t>(table.top_k);
  if (table.experts.size() != expected) {
    throw InputError(source + ": table of " + std::to_string(table.experts.size()) +
                     " entries, expected " + std::to_string(table.vocab_size) + " x " +
                     std::to_string(table.top_k));
  }
  constexpr int32_t kNoRow = -1;
  std::vector<int32_t> last_row(static_cast<size_t>(num_experts), kNoRow);
  const int32_t* entry = table.experts.data();
  for (int32_t row = 0; row < table.vocab_size; ++row) {
    for (int choice = 0; choice < table.top_k; ++choice, ++entry) {
      if (*entry < 0 || *entry >= num_experts) {
        throw InputError(source + ": row " + std::to_string(row) + " has expert " +
                         std::to_string(*entry) + ", outside [0, " + std::to_string(num_experts) +
                         ")");
      }
      int32_t& seen_in = last_row[static_cast<size_t>(*entry)];
      if (seen_in == row) {
        throw InputError(source + ": row " + std::to_string(row) + " repeats expert " +
                         std::to_string(*entry));
      }
      seen_in = row;
    }
  }
}

}  // namespace hashep
