// SPDX-License-Identifier: Apache-2.0
#include "runtime/tokens/routed_loads.hpp"

#include <algorithm>

#include "runtime/routing/route_checks.hpp"

namespace hashep {

std::vector<RoutedLayer> routed_layers(int64_t num_layers, int64_t num_experts, int top_k) {
  std::vector<RoutedLayer> layers;
  for (int64_t layer = 0; layer < num_layers; ++layer)
    layers.push_back({layer, num_experts, top_k});
  return layers;
}

std::vector<std::vector<int64_t>> routed_loads(const Router& router,
                                               std::span<const RoutedLayer> layers,
                                               const TokenStream& stream, int64_t seq_len,
                                               int64_t limit) {
  constexpr int64_t kChunk = 1 << 16;  // tokens: small enough to stay in a core's cache
  const int64_t tokens = std::min(limit, stream.size().value_or(limit));
  std::vector<std::vector<int64_t>> loads;
  for (const RoutedLayer& layer : layers)
    loads.emplace_back(static_cast<size_t>(layer.num_experts));
  std::vector<int32_t> experts;
  StreamBatch chunk{.ids = {}, .first_position = 0, .previous_id = -1, .seq_len = seq_len};
  for (; chunk.first_position < tokens; chunk.first_position += kChunk) {
    if (!chunk.ids.empty()) chunk.previous_id = chunk.ids.back();
    chunk.ids.resize(std::min(kChunk, tokens - chunk.first_position));
    stream.read(chunk.first_position, chunk.ids);
    for (size_t i = 0; i < layers.size(); ++i) {
      experts.resize(chunk.ids.size() * static_cast<size_t>(layers[i].top_k));
      route_checked(router, chunk.view(), layers[i], experts);
      for (const int32_t expert : experts) {
        if (expert >= 0) ++loads[i][expert];
      }
    }
  }
  return loads;
}

}  // namespace hashep
