// SPDX-License-Identifier: Apache-2.0
#include "runtime/exec/layer_weights.hpp"

#include <string>
#include <utility>

namespace hashep {

void read_layer_weights(const ModelConfig& config, int64_t layer,
                        std::span<const int32_t> local_experts, const WeightSource& weights,
                        const WeightReading& reading, const LayerWeightSink& sink) {
  const std::string where = "layer " + std::to_string(layer);
  for (size_t i = 0; i < local_experts.size(); ++i) {
    if (reading.between) reading.between();
    const LoadedFfn expert = weights.routed_expert(layer, local_experts[i]);
    if (reading.check_finite) {
      require_finite(expert.weights, where + ", expert " + std::to_string(local_experts[i]),
                     reading.dtype);
    }
    sink.routed(static_cast<int64_t>(i), expert.weights);
  }
  if (config.num_shared_experts > 0) {
    const LoadedFfn shared = weights.shared_experts(layer);
    if (reading.check_finite) {
      require_finite(shared.weights, where + ", shared experts", reading.dtype);
    }
    sink.shared(shared.weights);
  }
  if (config.score == Score::sqrtsoftplus) {
    LoadedMatrix gate = weights.gate(layer);
    if (reading.check_finite) require_finite(gate.view, where + ", gate");
    sink.gate(std::move(gate));
  }
}

}  // namespace hashep
