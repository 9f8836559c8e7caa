// SPDX-License-Identifier: Apache-2.0
// HASHEP_EACH_VECTOR_WIDTH (from CMake) has the compiler make each loop for several vector widths,
// of which the program picks one as it starts; it is empty where the compiler cannot.
#include "kernels/rows/row_sums.hpp"

namespace hashep {

HASHEP_EACH_VECTOR_WIDTH
void set_scaled(const float* __restrict values, float weight, int64_t count,
                float* __restrict sums) {
  for (int64_t i = 0; i < count; ++i) sums[i] = weight * values[i];
}

HASHEP_EACH_VECTOR_WIDTH
void set_scaled(const BFloat16* __restrict values, float weight, int64_t count,
                float* __restrict sums) {
  for (int64_t i = 0; i < count; ++i) sums[i] = weight * static_cast<float>(values[i]);
}

HASHEP_EACH_VECTOR_WIDTH
void add_scaled(const float* __restrict values, float weight, int64_t count,
                float* __restrict sums) {
  for (int64_t i = 0; i < count; ++i) sums[i] += weight * values[i];
}

HASHEP_EACH_VECTOR_WIDTH
void add_scaled(const BFloat16* __restrict values, float weight, int64_t count,
                float* __restrict sums) {
  for (int64_t i = 0; i < count; ++i) sums[i] += weight * static_cast<float>(values[i]);
}

HASHEP_EACH_VECTOR_WIDTH
void round_sums(const float* __restrict sums, int64_t count, BFloat16* __restrict out) {
  for (int64_t i = 0; i < count; ++i) out[i] = BFloat16(sums[i]);
}

}  // namespace hashep
