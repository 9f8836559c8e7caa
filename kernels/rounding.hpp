// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "kernels/host_device.hpp"

namespace hashep {

/// a * b, rounded to nearest: no compiler fuses it with a sum that it goes into, whatever its flags
/// (nvcc fuses by default). For kernels that promise the bits of the CPU's.
HASHEP_HOST_DEVICE inline float rounded_product(float a, float b) {
#if defined(__CUDA_ARCH__)
  return __fmul_rn(a, b);
#else
  const volatile float product = a * b;
  return product;
#endif
}

}  // namespace hashep
