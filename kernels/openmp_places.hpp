// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

namespace hashep {

/// The cores that OpenMP's threads are bound to (OMP_PROC_BIND, OMP_PLACES), ascending, the calling
/// thread being bound to some of them by then; empty where OpenMP binds none.
std::vector<int> openmp_places();

}  // namespace hashep
