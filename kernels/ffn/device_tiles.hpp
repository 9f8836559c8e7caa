// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "hashep/split.hpp"
#include "kernels/ffn/tiles.hpp"

namespace hashep {

/// Rows of a routed expert that one GEMM takes on a GPU, at most. It bounds the memory between the
/// two GEMMs; a multiple of every tile that a GPU's GEMM kernels know.
inline constexpr int64_t kDeviceTileRows = 2048;

/// Calls body(tile) for the tiles of all experts, in order. An expert's n rows are cut into
/// ceil(n / kDeviceTileRows) tiles whose sizes differ by at most one: edges that depend on n alone,
/// so a row meets the same GEMM shape, hence the same bits, at any ep_size and placement. Experts
/// without rows have no tile. expert_offsets: [experts + 1].
template <typename Body>
void for_each_device_tile(std::span<const int64_t> expert_offsets, Body&& body) {
  for (size_t expert = 0; expert + 1 < expert_offsets.size(); ++expert) {
    const int64_t rows = expert_offsets[expert + 1] - expert_offsets[expert];
    const int64_t tiles = (rows + kDeviceTileRows - 1) / kDeviceTileRows;
    for (int64_t tile = 0; tile < tiles; ++tile) {
      const Range range = split_range(rows, tiles, tile);
      body(ExpertTile{static_cast<int64_t>(expert), expert_offsets[expert] + range.begin,
                      range.size()});
    }
  }
}

/// Where a rank's tokens [first_token, first_token + tokens) of the global batch stand in memory
/// that shared experts read and write on a GPU: in tiles of tile_rows rows of the global batch, of
/// which the first and the last may hold rows of other ranks, unused here. So a token stands in the
/// same row of a GEMM of the same shape at any ep_size.
struct SharedTiles {
  int64_t tile_rows = 0;
  int64_t lead = 0;  // unused rows before the first token
  int64_t num_tiles = 0;

  int64_t rows() const { return num_tiles * tile_rows; }
};

/// Rows of such a tile: a power of two in [16, kDeviceTileRows / 2], of the global batch alone.
inline int64_t device_shared_tile_rows(int64_t global_tokens) {
  return shared_tile_rows(global_tokens, kDeviceTileRows / 2);
}

inline SharedTiles shared_tiles(int64_t first_token, int64_t tokens, int64_t global_tokens) {
  SharedTiles tiles;
  tiles.tile_rows = device_shared_tile_rows(global_tokens);
  tiles.lead = first_token % tiles.tile_rows;
  if (tokens > 0) tiles.num_tiles = (tiles.lead + tokens + tiles.tile_rows - 1) / tiles.tile_rows;
  return tiles;
}

}  // namespace hashep
