// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include "kernels/gate/sqrt_softplus.hpp"

namespace hashep {

/// 1 / (1 + e^-z), without overflow.
inline float sigmoid(float z) {
  const float e = std::exp(-std::abs(z));
  return (z < 0.0f ? e : 1.0f) / (1.0f + e);
}

/// sigmoid(z) / (2 s), where s = sqrt_softplus(z): the slope of s. 0 where s is.
inline float sqrt_softplus_slope(float z, float s) {
  return s == 0.0f ? 0.0f : sigmoid(z) / (2.0f * s);
}

}  // namespace hashep
