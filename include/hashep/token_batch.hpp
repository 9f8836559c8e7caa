// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

namespace hashep {

/// The token id of padding: no expert, zero layer output.
inline constexpr int32_t kPaddingId = -1;

/// One rank's tokens of one batch, with what a router may want to know of their surroundings: views
/// of the caller's memory (host), which must live until the call that takes the batch returns.
///
/// Surroundings are derived, given, or left out:
/// - seq_len > 0: tokens are consecutive in sequences of that length.
/// - seq_len = 0: `positions` and `previous_ids` say them token by token, as decoding needs it;
///   either may be left empty where the router does not look at it.
struct TokenBatch {
  std::span<const int32_t> ids;  ///< [tokens]; kPaddingId is padding. May be empty
  int64_t seq_len = 0;           ///< token i stands at (first_position + i) mod seq_len
  int64_t first_position = 0;    ///< >= 0, of ids[0]; may count on over sequences, and may begin
                                 ///< inside one, as a rank's part of a batch does
  int32_t previous_id = kPaddingId;  ///< with seq_len: the id before ids[0]; -1 where there is none
  std::span<const int64_t> positions = {};     ///< [tokens], >= 0, in each token's own sequence
  std::span<const int32_t> previous_ids = {};  ///< [tokens]; -1 at the start of a sequence
};

/// The place of a token in its sequence. The batch has seq_len or positions.
inline int64_t position_of(const TokenBatch& batch, int64_t token) {
  if (batch.seq_len > 0) return (batch.first_position + token) % batch.seq_len;
  return batch.positions[token];
}

/// The id before a token in its sequence, -1 at its start. The batch has seq_len or previous_ids.
inline int32_t previous_id_of(const TokenBatch& batch, int64_t token) {
  if (batch.seq_len == 0) return batch.previous_ids[token];
  if (position_of(batch, token) == 0) return -1;
  return token == 0 ? batch.previous_id : batch.ids[token - 1];
}

/// Throws InputError unless the batch is as TokenBatch says: sizes agree, no position is negative,
/// a token at position 0 has no previous id. Ids are the router's to check. O(tokens) where
/// surroundings are given, else O(1). Local.
void require_valid(const TokenBatch& batch);

}  // namespace hashep
