// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

namespace hashep {

/// Rows of a full tile of a routed expert. The edges of an expert's tiles depend on its row count
/// alone (rows [0, 512), [512, 1024), ... and a rest), so a row meets the same GEMM shape, hence
/// the same bits, at any ep_size, placement and thread count.
inline constexpr int64_t kExpertTileRows = 512;

/// Rows of every tile of a shared expert, for a global batch of `global_tokens`. Shared experts see
/// a rank's own tokens, whose number depends on ep_size. Token i of the global batch therefore
/// always stands in row i mod T of a GEMM of exactly T rows, with unused rows at the ends of a
/// rank's range. T is a power of two in [16, 256]: at most 1/8 of a rank's work is padding once it
/// has 16 tiles, which is what the divisor aims at.
inline int64_t shared_tile_rows(int64_t global_tokens) {
  constexpr int64_t kSmallest = 16;
  constexpr int64_t kLargest = 256;
  constexpr int64_t kTilesAimedAt = 64;
  const auto wanted = static_cast<uint64_t>(std::max<int64_t>(1, global_tokens / kTilesAimedAt));
  return std::clamp(static_cast<int64_t>(std::bit_ceil(wanted)), kSmallest, kLargest);
}

}  // namespace hashep
