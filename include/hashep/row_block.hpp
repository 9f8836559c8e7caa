// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace hashep {

/// `count` consecutive rows that move together.
struct RowBlock {
  int64_t message_row = 0;  ///< first row in rank-major order, as messages arrive
  int64_t expert_row = 0;   ///< first row in expert-major order
  int64_t count = 0;        ///< rows

  bool operator==(const RowBlock&) const = default;
};

}  // namespace hashep
