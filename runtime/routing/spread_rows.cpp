// SPDX-License-Identifier: Apache-2.0
#include "hashep/spread_rows.hpp"

#include <xxhash.h>

#include <bit>

namespace hashep {

int64_t spread_row(int64_t position, uint64_t seed, int64_t num_rows) {
  static_assert(std::endian::native == std::endian::little, "the word is hashed as it lies there");
  const uint64_t hash = XXH64(&position, sizeof(position), seed);
  return static_cast<int64_t>(hash % static_cast<uint64_t>(num_rows));
}

}  // namespace hashep
