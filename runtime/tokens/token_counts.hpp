// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "runtime/tokens/token_stream.hpp"

namespace hashep {

/// How often each id occurs in a corpus.
struct TokenCounts {
  std::vector<int64_t> counts;  // [vocab_size]
  int64_t total = 0;            // tokens counted: padding is not
  int64_t padding = 0;
  uint64_t digest = 0;  // XXH64, seed 0, of all ids as little-endian int32, file after file
  int64_t files = 0;

  bool operator==(const TokenCounts&) const = default;
};

/// Told how many bytes of the files, in their order, have been counted.
using CountProgress = std::function<void(int64_t bytes)>;

/// Counts the ids of token files in one pass; memory does not grow with the files. Throws
/// InputError, naming file, token and id, on an id that is neither padding nor in [0, vocab_size),
/// and where a file cannot be read.
TokenCounts count_tokens(std::span<const TokenFile> files, int64_t vocab_size,
                         const CountProgress& progress = {});

/// Bytes of all the files: what count_tokens tells last. Throws InputError where one is missing.
int64_t token_file_bytes(std::span<const TokenFile> files);

}  // namespace hashep
