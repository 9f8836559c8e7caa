// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

namespace hashep {

/// Further rows of frequent ids of a table, so that one hot token need not burden one expert. A
/// token of such an id takes a row by its position in its sequence, so this changes the model: only
/// a model that was trained with these rows may be run with them.
struct SpreadRows {
  std::vector<int32_t> ids;      ///< [n], ascending, without repetition
  std::vector<int64_t> offsets;  ///< [n + 1]: rows [offsets[i], offsets[i + 1]) are those of ids[i]
  std::vector<int32_t> experts;  ///< [offsets[n], top_k]; an id's first row is its row in tid2eid
  uint64_t seed = 0;             ///< of the hash: the layer's index

  bool operator==(const SpreadRows&) const = default;
};

/// Which of an id's `num_rows` rows a token takes: XXH64 over the position in its sequence as one
/// little-endian int64 word, with this seed, mod num_rows. num_rows >= 1.
int64_t spread_row(int64_t position, uint64_t seed, int64_t num_rows);

}  // namespace hashep
