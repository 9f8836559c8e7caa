// SPDX-License-Identifier: Apache-2.0
#include "kernels/ffn/device_tiles.hpp"

#include <algorithm>
#include <vector>

#include "hashep/split.hpp"
#include "tests/support/catch.hpp"

namespace hashep::test {
namespace {

std::vector<ExpertTile> tiles_of(const std::vector<int64_t>& offsets) {
  std::vector<ExpertTile> tiles;
  for_each_device_tile(offsets, [&](const ExpertTile& tile) { tiles.push_back(tile); });
  return tiles;
}

TEST_CASE("a GPU's tiles cover each expert's rows, at edges that its row count alone sets") {
  for (const int64_t rows : {int64_t{0}, int64_t{1}, kDeviceTileRows - 1, kDeviceTileRows,
                             kDeviceTileRows + 1, 3 * kDeviceTileRows, int64_t{100000}}) {
    const auto alone = tiles_of({0, rows});
    const auto among = tiles_of({0, 17, 17, 17 + rows, 30 + rows});
    std::vector<ExpertTile> moved;
    for (ExpertTile tile : among) {
      if (tile.expert != 2) continue;
      moved.push_back({0, tile.first_row - 17, tile.count});
    }
    CHECK(moved == alone);
    int64_t next = 0;
    int64_t smallest = kDeviceTileRows;
    int64_t largest = 0;
    for (const ExpertTile& tile : alone) {
      CHECK(tile.first_row == next);
      next += tile.count;
      smallest = std::min(smallest, tile.count);
      largest = std::max(largest, tile.count);
    }
    CHECK(next == rows);
    CHECK(largest <= kDeviceTileRows);
    if (rows > 0) CHECK(largest - smallest <= 1);
    CHECK(std::ssize(alone) == (rows + kDeviceTileRows - 1) / kDeviceTileRows);
  }
}

TEST_CASE("a token stands in the same row of a shared expert's tile on any number of ranks") {
  for (const int64_t global : {1, 61, 1000, 70000}) {
    for (const int64_t ep_size : {1, 2, 3, 7}) {
      for (int64_t rank = 0; rank < ep_size; ++rank) {
        const Range range = split_range(global, ep_size, rank);
        const SharedTiles tiles = shared_tiles(range.begin, range.size(), global);
        CHECK(tiles.tile_rows == device_shared_tile_rows(global));
        if (range.size() == 0) {
          CHECK(tiles.rows() == 0);
          continue;
        }
        CHECK((range.begin - tiles.lead) % tiles.tile_rows == 0);
        CHECK(tiles.lead < tiles.tile_rows);
        CHECK(tiles.rows() >= tiles.lead + range.size());
        CHECK(tiles.rows() - tiles.tile_rows < tiles.lead + range.size());
      }
    }
  }
}

}  // namespace
}  // namespace hashep::test
