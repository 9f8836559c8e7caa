// SPDX-License-Identifier: Apache-2.0
#include "comm/plan/placement_digest.hpp"

#include <xxhash.h>

namespace hashep {

uint64_t placement_digest(std::span<const Placement> placements) {
  uint64_t digest = 0;
  for (const Placement& placement : placements) {
    digest = XXH64(placement.ranks().data(), placement.ranks().size_bytes(), digest);
  }
  return digest;
}

}  // namespace hashep
