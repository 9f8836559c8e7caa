// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "core/narrow.hpp"

namespace hashep {

/// One side of an all-to-all of MPI, in rows: to or from each rank. [ranks]
struct RowsByRank {
  std::vector<int> counts;
  std::vector<int> displs;

  void set(std::span<const int64_t> plan_counts, std::span<const int64_t> plan_displs) {
    counts.resize(plan_counts.size());
    displs.resize(plan_counts.size());
    for (size_t rank = 0; rank < counts.size(); ++rank) {
      counts[rank] = narrow<int>(plan_counts[rank], "rows to one rank");
      displs[rank] = narrow<int>(plan_displs[rank], "row displacement");
    }
  }
};

}  // namespace hashep
