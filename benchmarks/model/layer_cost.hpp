// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "benchmarks/model/exchange_cost.hpp"
#include "hashep/dtype.hpp"
#include "hashep/ffn_shape.hpp"
#include "hashep/placement.hpp"

namespace hashep::bench {

/// What the cost of a layer depends on, beside who sends how much to whom.
struct LayerShape {
  FfnShape ffn;
  int64_t num_shared_experts = 0;
  DType dtype = DType::f32;
  Move move = Move::push;
  bool node_reduce = false;

  double row_bytes() const { return static_cast<double>(ffn.hidden_size * dtype_size(dtype)); }
  /// Of an expert: two GEMMs, or three.
  double flops_per_row() const;
};

/// Seconds of a layer's phases; each is the slowest rank's, as the next phase begins when all have
/// ended this one.
struct LayerCost {
  double dispatch = 0.0;
  double experts = 0.0;
  double shared_experts = 0.0;
  double combine = 0.0;
  double mean_experts = 0.0;  // of a rank: what experts would take if loads were even

  double layer() const { return dispatch + experts + shared_experts + combine; }
};

/// Throws InputError where the profile has no GEMMs of the dtype.
LayerCost layer_cost(const JobFlows& flows, const Placement& placement, const NodeMap& nodes,
                     const MachineProfile& profile, const LayerShape& shape);

/// Seconds of the experts of the slowest rank, and of a rank on the average.
struct ExpertsCost {
  double slowest = 0.0;
  double mean = 0.0;
};
ExpertsCost experts_cost(const JobFlows& flows, const Placement& placement,
                         const MachineProfile& profile, const LayerShape& shape);

}  // namespace hashep::bench
