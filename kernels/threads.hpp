// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "hashep/split.hpp"

namespace hashep {

/// Calls body(begin, end) on contiguous parts of [0, count), one part per thread of an OpenMP team
/// of at most `threads`; parts of fewer than `grain` things are not worth a thread. `body` must not
/// throw.
template <typename Body>
void parallel_ranges(int64_t count, int threads, int64_t grain, Body&& body) {
  const int64_t useful = grain > 0 ? (count + grain - 1) / grain : count;
  const int team = static_cast<int>(useful < threads ? useful : threads);
  if (team <= 1) {
    if (count > 0) body(int64_t{0}, count);
    return;
  }
#pragma omp parallel for num_threads(team) schedule(static, 1)
  for (int part = 0; part < team; ++part) {
    const Range range = split_range(count, team, part);
    body(range.begin, range.end);
  }
}

}  // namespace hashep
