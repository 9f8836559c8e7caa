// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "hashep/error.hpp"

namespace hashep {

/// Throws RunError saying `what` was broken, in every build, unless `condition` holds. For the
/// shapes of a kernel's arguments: once a call, so that a mistake of the caller never writes
/// outside a buffer.
inline void require(bool condition, const char* what) {
  if (!condition) throw RunError(what);
}

}  // namespace hashep
