// SPDX-License-Identifier: Apache-2.0
#include "launch/train/train_tokens.hpp"

#include <algorithm>
#include <string>

#include "hashep/error.hpp"

namespace hashep {

TokenBatch TextBatch::view() const {
  const auto first = static_cast<size_t>(before);
  return {
      .ids = std::span(ids).subspan(first, static_cast<size_t>(tokens())),
      .seq_len = seq_len,
      .first_position = first_position,
      .previous_id = before == 0 || first_position % seq_len == 0 ? kPaddingId : ids[first - 1]};
}

TrainTokens::TrainTokens(const TokenStream& stream, int64_t held_out, int64_t seq_len,
                         int64_t context)
    : stream_(stream),
      train_size_(stream.size().value_or(0) - held_out),
      held_out_(held_out),
      seq_len_(seq_len),
      context_(context) {
  if (train_size_ >= 2) return;
  throw InputError("the text has " + std::to_string(stream.size().value_or(0)) +
                   " tokens, of which --held-out " + std::to_string(held_out) +
                   " leaves too few to train on");
}

TextBatch TrainTokens::train_batch(int64_t step, int64_t batch_tokens, const Range& range) const {
  return read(step * batch_tokens + range.begin, range.size(), 0, train_size_);
}

TextBatch TrainTokens::held_out_batch(const Range& range) const {
  // What stands behind the last one is the first one, as in training.
  return read(range.begin, range.size(), train_size_, held_out_);
}

/// Tokens first, first + 1 ... of the part [begin, begin + size) of the stream, which wraps.
TextBatch TrainTokens::read(int64_t first, int64_t count, int64_t begin, int64_t size) const {
  TextBatch batch;
  batch.before = std::min(context_, first);
  batch.first_position = first;
  batch.seq_len = seq_len_;
  batch.ids.resize(static_cast<size_t>(batch.before + count + 1));
  for (int64_t done = 0; done < std::ssize(batch.ids);) {
    const int64_t at = (first - batch.before + done) % size;
    const int64_t piece = std::min(std::ssize(batch.ids) - done, size - at);
    stream_.read(begin + at, std::span(batch.ids).subspan(static_cast<size_t>(done),
                                                          static_cast<size_t>(piece)));
    done += piece;
  }
  return batch;
}

}  // namespace hashep
