// SPDX-License-Identifier: Apache-2.0
#include "tests/kernels/fused_sum.hpp"

namespace hashep::test {

float product_and_sum(float a, float b, float c) {
  return a * b + c;
}

}  // namespace hashep::test
