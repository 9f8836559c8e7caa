// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "core/input_file.hpp"
#include "runtime/tokens/token_stream.hpp"

namespace hashep {

/// An integer type of a file's ids, little-endian.
struct IdType {
  bool is_signed = false;
  int64_t size = 0;  // bytes: 1, 2, 4 or 8

  bool operator==(const IdType&) const = default;
};

/// Where the ids of a binary token file are, and of which type.
struct BinaryIds {
  IdType type;
  int64_t offset = 0;  // of the first id, in bytes
  int64_t bytes = 0;
};

/// Finds the ids in a binary token file: all of it, or what is behind a header of llm.c (256 words
/// of 32 bits: magic 20240520, version 1, for u16; 20240801, version 7, for u32; then the number of
/// ids). Looks at the first bytes alone. Throws InputError where
/// - the header, the file's size and source.token_dtype do not go together;
/// - ids are u16, no header says so, and the vocabulary has more than 2^16;
/// - source.token_dtype is empty, and the file looks like ids of 32 or 64 bits: read as these they
/// are
///   all in the vocabulary, which no text's u16 ids are;
/// - the file is known to be something else (file_kind), or text.
BinaryIds locate_binary_ids(const InputFile& file, const TokenFile& source, int64_t vocab_size);

}  // namespace hashep
