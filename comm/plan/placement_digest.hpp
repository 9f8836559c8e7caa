// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "hashep/placement.hpp"

namespace hashep {

/// A digest of all layers' placements, for ranks to compare.
uint64_t placement_digest(std::span<const Placement> placements);

}  // namespace hashep
