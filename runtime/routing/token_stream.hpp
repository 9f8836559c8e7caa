// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "runtime/routing/token_batch.hpp"

namespace hashep {

/// Where token ids are read from.
struct TokenFile {
  std::string path;               // .npy (integer, 1-D or 2-D), .bin (raw), anything else is text
  std::string bin_dtype = "u16";  // of a .bin: u16, u32 or i32 (little-endian)
  std::string tokenizer;          // SentencePiece model, needed for text
};

/// An endless stream of token ids: a file read in order that wraps at its end, or seeded Zipf
/// draws. A pure function of the index, so any rank can read any part.
class TokenStream {
 public:
  virtual ~TokenStream() = default;

  /// Writes ids [first, first + out.size()) of the stream. first >= 0. Allocates nothing. Throws
  /// InputError, naming file and token, on an id in a file that does not fit int32.
  virtual void read(int64_t first, std::span<int32_t> out) const = 0;
  /// Ids before the stream repeats; nothing for an endless one.
  virtual std::optional<int64_t> size() const = 0;
  /// The row length of a 2-D file: the natural seq_len.
  virtual std::optional<int64_t> natural_seq_len() const { return std::nullopt; }
  /// Lets go of memory of ids read so far that can be read from the file again.
  virtual void give_back_memory() const {}
};

/// Whether a file of this name is text, which needs a tokenizer: neither .npy nor .bin.
bool is_text_file(const std::string& path);

/// Opens a token file; .npy and .bin stay mapped, text is encoded line by line. Throws InputError
/// on a missing, empty or malformed file.
std::unique_ptr<TokenStream> open_token_file(const TokenFile& file);

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
void read_batch(const TokenStream& stream, const BatchSplit& split, int64_t step,
                TokenBatch& batch);

/// counts[v] = how often id v occurs in the first `limit` ids of the stream. Ids outside
/// [0, vocab_size) are left out (routers report them).
std::vector<int64_t> count_ids(const TokenStream& stream, int64_t vocab_size, int64_t limit);

}  // namespace hashep
