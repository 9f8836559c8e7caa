// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

namespace hashep {

/// The token id of padding: no expert, zero layer output.
inline constexpr int32_t kPaddingId = -1;

/// One rank's tokens of one batch, with what a router needs to know of their surroundings.
struct TokenBatch {
  std::vector<int32_t> ids;  // [tokens]; -1 is padding
  int64_t first_index = 0;   // index of ids[0] in the token stream, counted across steps
  int32_t previous_id = -1;  // the id before ids[0] in the stream; -1 where there is none
  int64_t seq_len = 1;       // position of token i in its sequence: (first_index + i) mod seq_len

  bool operator==(const TokenBatch&) const = default;
};

}  // namespace hashep
