// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <span>

namespace hashep {

/// Rows of a full tile of a routed expert. The edges of an expert's tiles depend on its row count
/// alone (rows [0, 512), [512, 1024), ... and a rest), so a row meets the same GEMM shape, hence
/// the same bits, at any ep_size, placement and thread count.
inline constexpr int64_t kExpertTileRows = 512;

/// A smaller rest joins the full tile before it: alone, a few rows run at a third of a full tile's
/// speed, and read all of the expert's weights once more.
inline constexpr int64_t kLeastRestRows = 128;
inline constexpr int64_t kMostTileRows = kExpertTileRows + kLeastRestRows - 1;

/// Consecutive rows of one expert that one thread takes through both GEMMs.
struct ExpertTile {
  int64_t expert = 0;     // local
  int64_t first_row = 0;  // in expert-major order
  int64_t count = 0;

  bool operator==(const ExpertTile&) const = default;
};

/// Calls body(tile) for the tiles of all experts, in order. expert_offsets: [experts + 1].
template <typename Body>
void for_each_tile(std::span<const int64_t> expert_offsets, Body&& body) {
  for (size_t expert = 0; expert + 1 < expert_offsets.size(); ++expert) {
    const int64_t end = expert_offsets[expert + 1];
    for (int64_t first = expert_offsets[expert]; first < end;) {
      const int64_t count = end - first <= kMostTileRows ? end - first : kExpertTileRows;
      body(ExpertTile{static_cast<int64_t>(expert), first, count});
      first += count;
    }
  }
}

/// Rows of every tile of a shared expert, for a global batch of `global_tokens`. Shared experts see
/// a rank's own tokens, whose number depends on ep_size. Token i of the global batch therefore
/// always stands in row i mod T of a GEMM of exactly T rows, with unused rows at the ends of a
/// rank's range. T is a power of two in [16, largest]: at most 1/8 of a rank's work is padding once
/// it has 16 tiles, which is what the divisor aims at.
inline int64_t shared_tile_rows(int64_t global_tokens, int64_t largest = 256) {
  constexpr int64_t kSmallest = 16;
  constexpr int64_t kTilesAimedAt = 64;
  const auto wanted = static_cast<uint64_t>(std::max<int64_t>(1, global_tokens / kTilesAimedAt));
  return std::clamp(static_cast<int64_t>(std::bit_ceil(wanted)), kSmallest, largest);
}

}  // namespace hashep
