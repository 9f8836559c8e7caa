// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>

#include "kernels/host_device.hpp"

namespace hashep {

/// sqrt(log(1 + e^z)), with no overflow for large z and no lost digits for small ones.
HASHEP_HOST_DEVICE inline float sqrt_softplus(float z) {
  return sqrtf(fmaxf(z, 0.0f) + log1pf(expf(-fabsf(z))));
}

/// One score among a token's `sum` of scores, as a weight.
HASHEP_HOST_DEVICE inline float normalised_score(float score, float sum, float scale) {
  return score / (sum + 1e-20f) * scale;
}

}  // namespace hashep
