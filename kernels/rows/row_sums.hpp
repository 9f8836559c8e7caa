// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "hashep/dtype.hpp"

namespace hashep {

// The inner loops of combine: fp32 sums of a stretch of columns, in whatever vector width the
// processor has. A product and a sum are rounded apart in all of them, so that all give the same
// bits. Nothing may overlap.

/// sums[i] = weight * values[i].
void set_scaled(const float* values, float weight, int64_t count, float* sums);
void set_scaled(const BFloat16* values, float weight, int64_t count, float* sums);

/// sums[i] += weight * values[i].
void add_scaled(const float* values, float weight, int64_t count, float* sums);
void add_scaled(const BFloat16* values, float weight, int64_t count, float* sums);

/// out[i] = sums[i], rounded to nearest even.
void round_sums(const float* sums, int64_t count, BFloat16* out);

}  // namespace hashep
