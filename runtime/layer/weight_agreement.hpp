// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "comm/agreement.hpp"
#include "hashep/node_map.hpp"
#include "hashep/placement.hpp"
#include "runtime/layer/layer_weights.hpp"

namespace hashep {

/// What every rank has read of the weights, as settings to be compared: gates and shared experts.
std::vector<Setting> weight_settings(const ModelConfig& config, const WeightDigests& digests);

/// Routed experts are read by their owners alone, so each rank reads samples of some experts of
/// another one, of another node where there is one: kSampledExperts at most, some KiB of each
/// (WeightSample).
inline constexpr int64_t kSampledExperts = 32;

/// Throws CollectiveInputError on all ranks, naming layer, expert and two ranks, where such a
/// sample differs from what the owner has read: `digests`. placements: of each layer. Collective.
void require_same_experts(const Communicator& comm, Watch& watch, const WeightSource& weights,
                          std::span<const Placement> placements, const NodeMap& nodes,
                          const WeightDigests& digests);

}  // namespace hashep
