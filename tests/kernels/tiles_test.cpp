// SPDX-License-Identifier: Apache-2.0
#include "kernels/ffn/tiles.hpp"

#include <numeric>
#include <vector>

#include "tests/support/catch.hpp"

namespace hashep::test {

TEST_CASE("full tiles and a rest; a small rest joins the tile before it") {
  const auto sizes = [](int64_t rows) {
    std::vector<int64_t> found;
    const std::vector<int64_t> offsets{0, 5, 5 + rows};
    for_each_tile(offsets, [&](const ExpertTile& tile) {
      if (tile.expert == 0) return;
      CHECK(tile.first_row == std::accumulate(found.begin(), found.end(), int64_t{5}));
      found.push_back(tile.count);
    });
    return found;
  };
  using Sizes = std::vector<int64_t>;
  CHECK(sizes(0) == Sizes{});
  CHECK(sizes(1) == Sizes{1});
  CHECK(sizes(512) == Sizes{512});
  CHECK(sizes(639) == Sizes{639});
  CHECK(sizes(640) == Sizes{512, 128});
  CHECK(sizes(1024) == Sizes{512, 512});
  CHECK(sizes(1151) == Sizes{512, 639});
  CHECK(sizes(1152) == Sizes{512, 512, 128});
}

}  // namespace hashep::test
