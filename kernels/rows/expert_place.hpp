// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

namespace hashep {

/// Where one expert's rows stand that come from, or go to, one source: row r of the source's
/// numbering at data + (first_row + r) * row_bytes. first_row may be negative. Null data: these
/// rows are not to be reached here.
struct ExpertPlace {
  std::byte* data = nullptr;
  int64_t first_row = 0;

  constexpr std::byte* row(int64_t index, int64_t row_bytes) const {
    return data + (first_row + index) * row_bytes;
  }
};

}  // namespace hashep
