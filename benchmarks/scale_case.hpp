// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "benchmarks/rank_group.hpp"
#include "benchmarks/scale_loss.hpp"
#include "benchmarks/scale_plan.hpp"
#include "core/result_json.hpp"

namespace hashep::bench {

/// One measurement of a point.
struct ScaleMeasurement {
  MeasuredRow row;  // that of the layer
  ScaleParts parts;
  int64_t wrong = 0;  // tokens of the layer and rows of the GEMMs alone
};

/// Makes the layer of `point` on the members of `group`, which are as many, checks and times it.
/// Throws CollectiveInputError where it is not to be had. Collective over the members.
ScaleMeasurement measure_point(const ScaleOptions& options, const ScalePoint& point, DType dtype,
                               RankGroup& group);

}  // namespace hashep::bench
