// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "hashep/token_batch.hpp"

namespace hashep {

/// The type of ids in a binary token file, little-endian.
enum class TokenDtype { u16, u32, i32 };

/// Where token ids are read from, and how.
struct TokenFile {
  std::string path;  // .npy (integer, 1-D or 2-D), binary ids, or text (is_text_file)
  std::optional<TokenDtype> token_dtype = {};  // of binary ids; empty: what the file's llm.c header
                                               // says, else u16
  std::string tokenizer = {};                  // SentencePiece model, needed for text
  int64_t padding_id = kPaddingId;             // read as kPaddingId, which is always padding
};

/// An endless stream of token ids: a file read in order that wraps at its end, or seeded Zipf
/// draws. A pure function of the index, so any rank can read any part.
class TokenStream {
 public:
  virtual ~TokenStream() = default;

  /// Writes ids [first, first + out.size()) of the stream. first >= 0. Allocates nothing. Throws
  /// InputError, naming the file, where it cannot be read or was written to since it was opened,
  /// and, naming file, token and id, on an id that is neither padding nor in the vocabulary.
  virtual void read(int64_t first, std::span<int32_t> out) const = 0;
  /// Ids before the stream repeats; nothing for an endless one.
  virtual std::optional<int64_t> size() const = 0;
  /// The row length of a 2-D file: the natural seq_len.
  virtual std::optional<int64_t> natural_seq_len() const { return std::nullopt; }
};

/// Whether a file is text, which needs a tokenizer: its name ends in neither .npy nor .bin, and it
/// has a tokenizer or no token_dtype.
bool is_text_file(const TokenFile& file);

/// Opens a token file; .npy and binary ids are read from the file when they are asked for, text is
/// encoded line by line and its ids are held in memory. Throws InputError on a missing, empty or
/// malformed file, and on binary ids that cannot be those of a vocabulary of this size
/// (locate_binary_ids).
std::unique_ptr<TokenStream> open_token_file(const TokenFile& file, int64_t vocab_size);

/// Says that tokens of a file come more than once in a batch of this many; empty where they do not.
std::string repetition_note(const TokenStream& stream, const std::string& path,
                            int64_t batch_tokens);

/// Ids in [0, vocab_size), id v with probability proportional to 1 / (v + 1)^exponent.
std::unique_ptr<TokenStream> make_zipf_stream(int64_t vocab_size, double exponent, uint64_t seed);

/// The batch of rank `ep_rank` of `ep_size` at `step`: tokens [floor(r*N/R), floor((r+1)*N/R)) of
/// the global batch of N = batch_tokens tokens, which starts at stream index step * N.
struct BatchSplit {
  int64_t batch_tokens = 0;
  int64_t seq_len = 1;
  int ep_size = 1;
  int ep_rank = 0;
};

/// A TokenBatch with the memory of its ids.
struct StreamBatch {
  std::vector<int32_t> ids;    // [tokens]
  int64_t first_position = 0;  // index of ids[0] in the stream, counted across steps
  int32_t previous_id = -1;    // the id before ids[0] in the stream; -1 where there is none
  int64_t seq_len = 1;         // >= 1

  /// Valid while this is and its ids stay where they are.
  TokenBatch view() const {
    return {.ids = ids,
            .seq_len = seq_len,
            .first_position = first_position,
            .previous_id = previous_id};
  }
  bool operator==(const StreamBatch&) const = default;
};

/// Memory of `batch` is reused.
void read_batch(const TokenStream& stream, const BatchSplit& split, int64_t step,
                StreamBatch& batch);

/// counts[v] = how often id v occurs in the first `limit` ids of the stream. Padding is left out,
/// and other ids outside [0, vocab_size), which files do not give.
std::vector<int64_t> count_ids(const TokenStream& stream, int64_t vocab_size, int64_t limit);

}  // namespace hashep
