// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace hashep {

/// A parsed .npy file (NumPy format 1.0, 2.0 and 3.0, NEP 1), borrowing the bytes it was parsed
/// from. C order only, little-endian or single-byte types.
struct NpyArray {
  char kind = 'i';        // 'i' signed, 'u' unsigned, 'f' float, as in NumPy's descr
  int64_t item_size = 0;  // bytes
  std::vector<int64_t> shape;
  std::span<const std::byte> data;

  int64_t num_elements() const;
  /// Element `index` as int64; kind 'i' or 'u' only. Throws InputError where a u8 does not fit.
  int64_t integer_at(int64_t index) const;
};

/// Parses without trusting a byte: sizes are checked against the file's before any use. Throws
/// InputError naming `source`.
NpyArray parse_npy(std::span<const std::byte> bytes, const std::string& source);

/// Writes a 1-D or 2-D int32 or int64 array, atomically.
void write_npy(const std::string& path, std::span<const int32_t> values,
               std::span<const int64_t> shape);
void write_npy(const std::string& path, std::span<const int64_t> values,
               std::span<const int64_t> shape);

}  // namespace hashep
