// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "benchmarks/layer_table.hpp"
#include "benchmarks/rank_group.hpp"
#include "benchmarks/scale_loss.hpp"
#include "benchmarks/scale_plan.hpp"

namespace hashep::bench {

/// One measurement of a point.
struct ScaleMeasurement {
  LayerRow row;  // that of the layer
  ScaleParts parts;
  int64_t wrong = 0;  // tokens of the layer, rows of the GEMMs and copies alone
};

/// Makes the layer of `point` on the members of `group`, which are as many, checks and times it.
/// Throws CollectiveInputError where it is not to be had. Collective over the members.
ScaleMeasurement measure_point(const ScaleOptions& options, const ScalePoint& point, DType dtype,
                               RankGroup& group);

}  // namespace hashep::bench
