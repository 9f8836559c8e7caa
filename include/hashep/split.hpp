// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace hashep {

/// A half-open range of indices [begin, end).
struct Range {
  int64_t begin = 0;  ///< the first one
  int64_t end = 0;    ///< one past the last one

  /// How many there are.
  int64_t size() const { return end - begin; }
  bool operator==(const Range&) const = default;
};

/// Part `part` of `count` things dealt into `parts` contiguous ranges whose sizes differ by at most
/// one: [floor(part * count / parts), floor((part + 1) * count / parts)).
inline Range split_range(int64_t count, int64_t parts, int64_t part) {
  return {part * count / parts, (part + 1) * count / parts};
}

}  // namespace hashep
