// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "hashep/split.hpp"

namespace hashep {

/// Work that is done part by part, as rows land: the part that expert-major rows belong to.
struct WorkParts {
  int count = 1;
  std::function<int(Range)> part_of;  // empty: all in part 0

  int of(Range rows) const { return part_of ? part_of(rows) : 0; }
};

}  // namespace hashep
