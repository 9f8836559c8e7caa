// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/input_file.hpp"

namespace hashep {

/// What a .npy file holds (NumPy format 1.0, 2.0 and 3.0, NEP 1) and where. C order only,
/// little-endian or single-byte types.
struct NpyLayout {
  char kind = 'i';        // 'i' signed, 'u' unsigned, 'f' float, as in NumPy's descr
  int64_t item_size = 0;  // bytes
  std::vector<int64_t> shape;
  int64_t data_offset = 0;  // in the file; the data go on to its end
  int64_t data_bytes = 0;

  int64_t num_elements() const { return data_bytes / item_size; }
  /// The element at `place` as int64; kind 'i' or 'u' only. Throws InputError where a u8 does not
  /// fit.
  int64_t integer_at(const std::byte* place) const;
};

/// An array in memory: `data` is its layout's.
struct NpyArray : NpyLayout {
  std::span<const std::byte> data;

  int64_t integer_at(int64_t index) const {
    return NpyLayout::integer_at(data.data() + index * item_size);
  }
};

/// Parses without trusting a byte: sizes are checked against the file's before any use. `bytes`:
/// the whole file, which the array borrows. Throws InputError naming `source`.
NpyArray parse_npy(std::span<const std::byte> bytes, const std::string& source);

/// The same of a file, whose header alone is read.
NpyLayout read_npy_layout(const InputFile& file);

/// Writes a 1-D or 2-D int32 or int64 array, atomically.
void write_npy(const std::string& path, std::span<const int32_t> values,
               std::span<const int64_t> shape);
void write_npy(const std::string& path, std::span<const int64_t> values,
               std::span<const int64_t> shape);

}  // namespace hashep
