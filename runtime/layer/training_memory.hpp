// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "hashep/dtype.hpp"
#include "hashep/placement.hpp"
#include "runtime/model/model_config.hpp"

namespace hashep {

/// What training a stack without biases takes on the rank that has most experts, beside tapes and
/// what all layers use in turn, in bytes.
struct TrainingMemory {
  int64_t parameters = 0;  // in fp32
  int64_t packed = 0;      // for the GEMMs of both directions, but for what their layouts fill up
  int64_t gradients = 0;   // in fp32; sums of what all ranks hold among them
  int64_t states = 0;      // AdamW's, in fp32
};

/// placements: of each layer. Local.
TrainingMemory training_memory(const ModelConfig& config, std::span<const Placement> placements,
                               DType dtype);

}  // namespace hashep
