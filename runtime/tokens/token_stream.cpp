// SPDX-License-Identifier: Apache-2.0
#include "runtime/tokens/token_stream.hpp"

#include <algorithm>

#include "hashep/error.hpp"
#include "hashep/split.hpp"
#include "runtime/tokens/id_histogram.hpp"

namespace hashep {
namespace {

/// The id before `index` in the stream.
int32_t id_before(const TokenStream& stream, int64_t index) {
  int32_t id = -1;
  if (index > 0) stream.read(index - 1, {&id, 1});
  return id;
}

void require_split(const BatchSplit& split, int64_t step) {
  if (split.batch_tokens < 0 || split.seq_len < 1 || split.ep_size < 1 || split.ep_rank < 0 ||
      split.ep_rank >= split.ep_size || step < 0) {
    throw InputError("batch of " + std::to_string(split.batch_tokens) + " tokens, seq_len " +
                     std::to_string(split.seq_len) + ", ep_rank " + std::to_string(split.ep_rank) +
                     " of " + std::to_string(split.ep_size) + ", step " + std::to_string(step) +
                     ": expected batch_tokens >= 0, seq_len >= 1, 0 <= ep_rank < ep_size");
  }
}

}  // namespace

void read_batch(const TokenStream& stream, const BatchSplit& split, int64_t step,
                StreamBatch& batch) {
  require_split(split, step);
  const Range range = split_range(split.batch_tokens, split.ep_size, split.ep_rank);
  batch.first_position = step * split.batch_tokens + range.begin;
  batch.seq_len = split.seq_len;
  batch.previous_id = id_before(stream, batch.first_position);
  batch.ids.resize(range.size());
  stream.read(batch.first_position, batch.ids);
}

std::string repetition_note(const TokenStream& stream, const std::string& path,
                            int64_t batch_tokens) {
  const int64_t size = stream.size().value_or(batch_tokens);
  if (size >= batch_tokens) return "";
  return path + " holds " + std::to_string(size) + " tokens, fewer than a batch of " +
         std::to_string(batch_tokens) + ": they are repeated within each batch";
}

std::vector<int64_t> count_ids(const TokenStream& stream, int64_t vocab_size, int64_t limit) {
  constexpr int64_t kChunk = 1 << 16;  // ids: small enough to stay in a core's cache
  IdHistogram histogram(vocab_size);
  std::vector<int32_t> ids(std::clamp(limit, int64_t{0}, kChunk));
  for (int64_t first = 0; first < limit; first += kChunk) {
    const std::span<int32_t> chunk(ids.data(),
                                   static_cast<size_t>(std::min(kChunk, limit - first)));
    stream.read(first, chunk);
    histogram.add(chunk);
  }
  return histogram.counts();
}

}  // namespace hashep
