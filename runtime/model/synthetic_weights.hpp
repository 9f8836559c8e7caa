// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "hashep/dtype.hpp"
#include "hashep/weight_source.hpp"
#include "runtime/model/model_config.hpp"

namespace hashep {

/// Seeded normal weights with standard deviation 1/sqrt(fan_in), rounded to `dtype` (f32 or bf16),
/// no biases; each matrix is a pure function of (seed, layer, expert, matrix), so any rank can make
/// any expert.
std::unique_ptr<WeightSource> make_synthetic_weights(const ModelConfig& config, DType dtype,
                                                     uint64_t seed);

}  // namespace hashep
