// SPDX-License-Identifier: Apache-2.0
#include "runtime/routing/table_builder.hpp"

#include <algorithm>
#include <numeric>
#include <utility>

#include "core/random.hpp"
#include "runtime/routing/route_checks.hpp"

namespace hashep {
namespace {

constexpr uint64_t kRandomTableTag = 0x7461626c65u;  // "table"

RoutingTable make_table(int64_t vocab_size, int top_k) {
  return {vocab_size, top_k,
          std::vector<int32_t>(static_cast<size_t>(vocab_size) * static_cast<size_t>(top_k))};
}

std::vector<int32_t> first_integers(int64_t count) {
  std::vector<int32_t> values(count);
  std::iota(values.begin(), values.end(), 0);
  return values;
}

}  // namespace

RoutingTable build_random_table(int64_t vocab_size, int64_t num_experts, int top_k, uint64_t seed) {
  require_router_sizes(vocab_size, num_experts, top_k, "random table");
  RoutingTable table = make_table(vocab_size, top_k);
  const uint64_t key = derive_key(seed, kRandomTableTag);
  // A row is the first top_k steps of a Fisher-Yates shuffle; that is fair from any order of the
  // deck, so the next row goes on from there.
  std::vector<int32_t> deck = first_integers(num_experts);
  uint64_t draw = 0;
  for (auto row = table.experts.begin(); row != table.experts.end(); row += top_k) {
    for (size_t choice = 0; choice < static_cast<size_t>(top_k); ++choice) {
      const size_t drawn = choice + random_bits(key, draw++) % (deck.size() - choice);
      std::swap(deck[choice], deck[drawn]);
    }
    std::copy_n(deck.begin(), top_k, row);
  }
  return table;
}

}  // namespace hashep
