// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

namespace hashep::bench {

/// What is drawn by the keyed hash. The values are part of the definition (docs/workloads.md).
enum class Draw : int64_t { token_order = 1, turn = 2, expert_order = 3, rank_order = 4 };

/// XXH64 over the little-endian int64 words (draw, a, b, c), seeded.
uint64_t keyed_hash(uint64_t seed, Draw draw, int64_t a, int64_t b, int64_t c);

/// Shuffles the values (Fisher and Yates, from the last down): value i changes places with value
/// keyed_hash(seed, draw, a, b, i) mod (i + 1).
void keyed_shuffle(uint64_t seed, Draw draw, int64_t a, int64_t b, std::vector<int32_t>& values);

/// The numbers [0, count), shuffled.
std::vector<int32_t> keyed_order(uint64_t seed, Draw draw, int64_t count);

}  // namespace hashep::bench
