// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>

#include "hashep/dtype.hpp"
#include "hashep/stack_shape.hpp"
#include "hashep/weight_source.hpp"

namespace hashep {

/// Seeded normal weights with standard deviation 1/sqrt(fan_in), rounded to `dtype` (f32 or bf16),
/// no biases: those of `hashep run` without a model folder. Each matrix is a pure function of
/// (seed, layer, expert, matrix), so any rank can make any expert. Throws InputError on another
/// dtype. Local.
std::unique_ptr<WeightSource> make_synthetic_weights(const StackShape& shape, DType dtype,
                                                     uint64_t seed);

}  // namespace hashep
