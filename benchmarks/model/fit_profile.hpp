// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "benchmarks/model/machine_profile.hpp"
#include "benchmarks/model/measured_points.hpp"
#include "benchmarks/model/point_errors.hpp"

namespace hashep::bench {

struct FittedProfile {
  MachineProfile profile;          // with `fit` and `band` filled in
  std::vector<PointError> errors;  // of all points
};

/// Fits latencies and speeds to the exchanges among `measurements` that are not held out, by least
/// squares of relative errors with coefficients of at least 0 (see fit_nonnegative). Errors are
/// taken relative to the geometric mean of measured and predicted, found again after each fit, so
/// that twice as much and half as much weigh the same. `base` says
/// what is not fitted: name, ranks per node, which link is shared, the working sets up to which
/// caches hold (those of level copy, for all levels within a node), and the levels that nothing was
/// measured of. GEMM speeds are the medians measured, where there are any. The slowest rank of an
/// exchange depends on the speeds, and so is found again after each fit, until it is the same.
/// The band is the 10th and the 90th percentile of measured / predicted over held-out points (all
/// points where none is). Throws InputError where nothing can be fitted.
FittedProfile fit_profile(const MachineProfile& base, const Measurements& measurements,
                          JobCache& jobs);

}  // namespace hashep::bench
