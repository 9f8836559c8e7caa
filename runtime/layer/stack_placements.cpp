// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/stack_placements.hpp"

#include <xxhash.h>

#include <algorithm>

#include "comm/plan/placement_file.hpp"
#include "hashep/exchange_plan.hpp"

namespace hashep {

std::vector<std::vector<int64_t>> count_expert_rows(
    const std::vector<std::unique_ptr<Router>>& routers, const TokenStream& stream, int64_t seq_len,
    int64_t limit) {
  constexpr int64_t kChunk = int64_t{1} << 16;  // tokens: some MiB of assignments at a time
  const int64_t tokens = std::min(limit, stream.size().value_or(limit));
  std::vector<std::vector<int64_t>> counts;
  for (const auto& router : routers)
    counts.emplace_back(static_cast<size_t>(router->num_experts()));
  TokenBatch chunk{.ids = {}, .first_index = 0, .previous_id = -1, .seq_len = seq_len};
  std::vector<int32_t> experts;
  for (int64_t first = 0; first < tokens; first += kChunk) {
    if (!chunk.ids.empty()) chunk.previous_id = chunk.ids.back();
    chunk.first_index = first;
    chunk.ids.resize(static_cast<size_t>(std::min(kChunk, tokens - first)));
    stream.read(first, chunk.ids);
    for (size_t layer = 0; layer < routers.size(); ++layer) {
      experts.resize(chunk.ids.size() * static_cast<size_t>(routers[layer]->top_k()));
      routers[layer]->route(chunk, experts);
      for (const int32_t expert : experts) {
        if (expert >= 0) ++counts[layer][static_cast<size_t>(expert)];
      }
    }
  }
  return counts;
}

std::vector<Placement> make_placements(const PlacementSource& source,
                                       const std::vector<std::unique_ptr<Router>>& routers,
                                       const TokenStream& stream, int64_t seq_len,
                                       const NodeMap& nodes) {
  const int64_t num_experts = routers.empty() ? 0 : routers.front()->num_experts();
  std::vector<Placement> placements;
  switch (source.kind) {
    case PlacementKind::contiguous:
      placements.assign(routers.size(), contiguous_placement(num_experts, nodes.ep_size()));
      break;
    case PlacementKind::balanced:
      for (const auto& counts : count_expert_rows(routers, stream, seq_len, kCountedTokens)) {
        placements.push_back(balanced_placement(counts, nodes));
      }
      break;
    case PlacementKind::file:
      placements = load_placements(source.path, {.num_layers = std::ssize(routers),
                                                 .num_experts = num_experts,
                                                 .ep_size = nodes.ep_size()});
      break;
  }
  return placements;
}

std::vector<Placement> make_placements(PlacementKind kind,
                                       const std::vector<std::unique_ptr<Router>>& routers,
                                       const TokenStream& stream, int64_t seq_len, int ep_size) {
  return make_placements({.kind = kind, .path = ""}, routers, stream, seq_len, one_node(ep_size));
}

uint64_t placement_digest(const std::vector<Placement>& placements) {
  uint64_t digest = 0;
  for (const Placement& placement : placements) {
    digest = XXH64(placement.ranks().data(), placement.ranks().size_bytes(), digest);
  }
  return digest;
}

}  // namespace hashep
