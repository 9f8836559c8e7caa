// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "hashep/split.hpp"
#include "hashep/token_batch.hpp"
#include "runtime/tokens/token_stream.hpp"

namespace hashep {

/// One rank's part of a batch to predict: its tokens, what stands before them, and what follows
/// each.
struct TextBatch {
  std::vector<int32_t> ids;    // [before + tokens + 1]
  int64_t before = 0;          // ids that stand before the first token
  int64_t first_position = 0;  // index of the first token in its stream
  int64_t seq_len = 1;

  int64_t tokens() const { return std::ssize(ids) - before - 1; }
  int32_t id(int64_t token) const { return ids[before + token]; }
  /// The id to predict; kPaddingId: none.
  int32_t target(int64_t token) const {
    return id(token) == kPaddingId ? kPaddingId : ids[before + token + 1];
  }
  /// The id `back` tokens before one, in its sequence; kPaddingId where the sequence begins later.
  int32_t context(int64_t token, int64_t back) const {
    const int64_t position = (first_position + token) % seq_len;
    return back > position ? kPaddingId : id(token - back);
  }
  TokenBatch view() const;
};

/// The text of a file: its first part to train on, again and again, and its end, held out.
class TrainTokens {
 public:
  /// The last `held_out` of the stream's tokens are held out. Throws InputError where less than two
  /// tokens are left to train on.
  TrainTokens(const TokenStream& stream, int64_t held_out, int64_t seq_len, int64_t context);

  /// Tokens `range` of the batch of `step`, of batch_tokens tokens.
  TextBatch train_batch(int64_t step, int64_t batch_tokens, const Range& range) const;
  /// Tokens `range` of those held out.
  TextBatch held_out_batch(const Range& range) const;

  int64_t held_out() const { return held_out_; }
  int64_t train_size() const { return train_size_; }

 private:
  TextBatch read(int64_t first, int64_t count, int64_t begin, int64_t size) const;

  const TokenStream& stream_;
  int64_t train_size_;
  int64_t held_out_;
  int64_t seq_len_;
  int64_t context_;
};

}  // namespace hashep
