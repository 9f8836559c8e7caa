// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <vector>

#include "hashep/backend.hpp"
#include "hashep/weight_source.hpp"
#include "runtime/model/model_config.hpp"

namespace hashep {

/// Takes one layer's weights as they are read, one expert at a time; what is handed over is gone
/// afterwards. Quantised ones are as WeightReading::form says.
struct LayerWeightSink {
  std::function<void(int64_t local_expert, const FfnWeights& weights)> routed;
  std::function<void(const FfnWeights& weights)> shared;
  std::function<void(LoadedMatrix gate)> gate;
  std::function<void(LoadedMatrix bias)> gate_bias = {};  // of a learned gate that has one
};

/// Digests of what a rank has read of each layer, for ranks to compare.
struct WeightDigests {
  struct Layer {
    uint64_t gate = 0;                    // content_digest; of its bias too, where it has one
    uint64_t shared = 0;                  // the same
    std::map<int32_t, uint64_t> experts;  // WeightSample of each that the rank owns
  };
  std::vector<Layer> layers;  // [num_layers]
};

/// How weights are read.
struct WeightReading {
  bool check_finite = false;  // refuse weights that are NaN or infinite in `dtype`
  DType dtype = DType::f32;   // that experts compute in
  WeightForm form = WeightForm::expanded;
  bool are_streamed = false;  // routed experts are not read here, but sampled where that is asked
  WeightDigests* digests = nullptr;    // filled in unless null
  std::function<void()> between = {};  // called before each expert: a sign of life
};

/// Reads the weights of a layer's `local_experts` (ascending), of its shared experts and of its
/// gate, as far as `config` has them. Local. Throws InputError on missing, misshapen or
/// (check_finite) non-finite weights.
void read_layer_weights(const ModelConfig& config, int64_t layer,
                        std::span<const int32_t> local_experts, const WeightSource& weights,
                        const WeightReading& reading, const LayerWeightSink& sink);

}  // namespace hashep
