// SPDX-License-Identifier: Apache-2.0
#include "kernels/quantised/expand_codes.hpp"

namespace hashep::expand {

bool has_avx2() {
  return false;
}

bool has_avx512() {
  return false;
}

void run_avx2(const Job&) {}

void run_avx512(const Job&) {}

}  // namespace hashep::expand
