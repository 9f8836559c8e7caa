// SPDX-License-Identifier: Apache-2.0
#include "runtime/tables/clustered_table.hpp"

#include <algorithm>
#include <numeric>
#include <tuple>

#include "core/random.hpp"
#include "runtime/routing/route_checks.hpp"

namespace hashep {
namespace {

constexpr uint64_t kDispersedTag = 0x64697370u;  // "disp"

/// 0 to count - 1 in a keyed order.
std::vector<int32_t> shuffled(int64_t count, uint64_t key) {
  std::vector<int32_t> values(count);
  std::iota(values.begin(), values.end(), 0);
  std::sort(values.begin(), values.end(), [key](int32_t a, int32_t b) {
    return std::tuple(random_bits(key, static_cast<uint64_t>(a)), a) <
           std::tuple(random_bits(key, static_cast<uint64_t>(b)), b);
  });
  return values;
}

}  // namespace

RoutingTable build_clustered_table(std::span<const int32_t> nearest, int64_t num_experts,
                                   int top_k) {
  require_router_sizes(std::ssize(nearest) / top_k, num_experts, top_k, "clustered table");
  return {std::ssize(nearest) / top_k, top_k, {nearest.begin(), nearest.end()}};
}

RoutingTable build_dispersed_table(std::span<const int32_t> cluster, int64_t num_experts, int top_k,
                                   uint64_t seed) {
  require_router_sizes(std::ssize(cluster), num_experts, top_k, "dispersed table");
  const uint64_t key = derive_key(seed, kDispersedTag);
  std::vector<int32_t> ids = shuffled(std::ssize(cluster), derive_key(key, 0));
  std::stable_sort(ids.begin(), ids.end(),
                   [&](int32_t a, int32_t b) { return cluster[a] < cluster[b]; });
  const auto k = static_cast<size_t>(top_k);
  RoutingTable table{std::ssize(cluster), top_k, std::vector<int32_t>(cluster.size() * k)};
  std::vector<int32_t> experts;
  size_t next = 0;
  for (size_t i = 0; i < ids.size(); ++i) {
    const int32_t own = cluster[ids[i]];
    if (i == 0 || own != cluster[ids[i - 1]]) {
      experts = shuffled(num_experts, derive_key(key, 1 + static_cast<uint64_t>(own)));
      next = 0;
    }
    for (size_t choice = 0; choice < k; ++choice) {
      table.experts[static_cast<size_t>(ids[i]) * k + choice] = experts[next];
      next = (next + 1) % experts.size();
    }
  }
  return table;
}

}  // namespace hashep
