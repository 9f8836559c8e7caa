// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <functional>
#include <numeric>
#include <queue>
#include <utility>

#include "core/error.hpp"
#include "core/random.hpp"
#include "runtime/routing/route_checks.hpp"
#include "runtime/routing/routing_table.hpp"

namespace hashep {
namespace {

constexpr uint64_t kRandomTableTag = 0x7461626c65u;  // "table"

RoutingTable make_table(int64_t vocab_size, int top_k) {
  return {vocab_size, top_k,
          std::vector<int32_t>(static_cast<size_t>(vocab_size) * static_cast<size_t>(top_k))};
}

std::vector<int32_t> first_integers(int64_t count) {
  std::vector<int32_t> values(static_cast<size_t>(count));
  std::iota(values.begin(), values.end(), 0);
  return values;
}

std::vector<int32_t> ids_by_falling_count(std::span<const int64_t> counts) {
  std::vector<int32_t> ids = first_integers(static_cast<int64_t>(counts.size()));
  std::stable_sort(ids.begin(), ids.end(), [&](int32_t a, int32_t b) {
    return counts[static_cast<size_t>(a)] > counts[static_cast<size_t>(b)];
  });
  return ids;
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

RoutingTable build_balanced_table(std::span<const int64_t> counts, int64_t num_experts, int top_k) {
  const auto vocab_size = static_cast<int64_t>(counts.size());
  require_router_sizes(vocab_size, num_experts, top_k, "balanced table");
  if (const auto negative =
          std::find_if(counts.begin(), counts.end(), [](int64_t count) { return count < 0; });
      negative != counts.end()) {
    throw InputError("balanced table: id " + std::to_string(negative - counts.begin()) +
                     " has a negative count, " + std::to_string(*negative));
  }
  using LoadedExpert = std::pair<int64_t, int32_t>;  // load, expert
  std::priority_queue<LoadedExpert, std::vector<LoadedExpert>, std::greater<>> least_loaded;
  for (const int32_t expert : first_integers(num_experts)) least_loaded.emplace(0, expert);

  RoutingTable table = make_table(vocab_size, top_k);
  std::vector<LoadedExpert> chosen(static_cast<size_t>(top_k));
  for (const int32_t id : ids_by_falling_count(counts)) {
    int32_t* row = table.experts.data() + int64_t{id} * top_k;
    for (LoadedExpert& expert : chosen) {
      expert = least_loaded.top();
      least_loaded.pop();
      *row++ = expert.second;
    }
    for (const auto& [load, expert] : chosen) {
      least_loaded.emplace(load + counts[static_cast<size_t>(id)], expert);
    }
  }
  return table;
}

}  // namespace hashep
