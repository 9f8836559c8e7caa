// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "hashep/synthetic_weights.hpp"
#include "runtime/model/model_config.hpp"

namespace hashep {

inline std::unique_ptr<WeightSource> make_synthetic_weights(const ModelConfig& config, DType dtype,
                                                            uint64_t seed) {
  return make_synthetic_weights(config.shape(), dtype, seed);
}

}  // namespace hashep
