// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/workloads/keyed_shuffle.hpp"

#include <xxhash.h>

#include <array>
#include <bit>
#include <numeric>
#include <utility>

namespace hashep::bench {

static_assert(std::endian::native == std::endian::little, "words are hashed as they lie in memory");

uint64_t keyed_hash(uint64_t seed, Draw draw, int64_t a, int64_t b, int64_t c) {
  const std::array<int64_t, 4> words = {static_cast<int64_t>(draw), a, b, c};
  return XXH64(words.data(), sizeof words, seed);
}

void keyed_shuffle(uint64_t seed, Draw draw, int64_t a, int64_t b, std::vector<int32_t>& values) {
  for (size_t i = values.size(); i-- > 1;) {
    const uint64_t other = keyed_hash(seed, draw, a, b, static_cast<int64_t>(i)) % (i + 1);
    std::swap(values[i], values[other]);
  }
}

std::vector<int32_t> keyed_order(uint64_t seed, Draw draw, int64_t count) {
  std::vector<int32_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  keyed_shuffle(seed, draw, 0, 0, order);
  return order;
}

}  // namespace hashep::bench
