// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <iterator>
#include <optional>
#include <span>
#include <utility>

#include "hashep/placement.hpp"
#include "runtime/layer/layer_weights.hpp"

namespace hashep {

/// The experts of a whole stack on one rank's device, so that layers share kernels and scratch.
/// Layer l's local experts are consecutive in `routed`; expert l of `shared` is its shared experts.
template <typename Ffn>
struct StackExperts {
  Ffn routed;
  std::optional<Ffn> shared;

  /// Takes the weights of a layer whose routed experts begin at `first_expert`; those of its gate
  /// go to `gate`.
  LayerWeightSink sink(int64_t layer, int64_t first_expert,
                       std::function<void(LoadedMatrix)> gate) {
    return {
        .routed =
            [this, first_expert](int64_t expert, const FfnWeights& weights) {
              routed.set_expert(first_expert + expert, weights);
            },
        .shared = [this, layer](const FfnWeights& weights) { shared->set_expert(layer, weights); },
        .gate = std::move(gate)};
  }
};

/// Calls make(layer, local_experts, first_expert) for each layer of a stack; returns the number of
/// all its routed experts on rank `ep_rank`.
template <typename Make>
int64_t for_each_layer(std::span<const Placement> placements, int ep_rank, Make&& make) {
  int64_t first_expert = 0;
  for (size_t layer = 0; layer < placements.size(); ++layer) {
    const std::span<const int32_t> local = placements[layer].local_experts(ep_rank);
    make(static_cast<int64_t>(layer), local, first_expert);
    first_expert += std::ssize(local);
  }
  return first_expert;
}

/// The number of all routed experts of a stack on rank `ep_rank`.
inline int64_t count_local_experts(std::span<const Placement> placements, int ep_rank) {
  return for_each_layer(placements, ep_rank, [](int64_t, std::span<const int32_t>, int64_t) {});
}

}  // namespace hashep
