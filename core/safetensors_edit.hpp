// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/atomic_file.hpp"
#include "core/safetensors.hpp"

namespace hashep {

/// A tensor in place of another, or a new one.
struct TensorEdit {
  TensorEdit(std::string dtype_name, std::vector<int64_t> lengths, int64_t size,
             std::function<void(AtomicFile&)> writer)
      : dtype(std::move(dtype_name)),
        shape(std::move(lengths)),
        bytes(size),
        write(std::move(writer)) {}
  /// One that is in memory.
  TensorEdit(TensorContents contents);

  std::string dtype;  // as files name it
  std::vector<int64_t> shape;
  int64_t bytes = 0;
  std::function<void(AtomicFile&)> write;  // so many bytes; called once, in the order of names
};

/// What becomes of a tensor: another one, or nothing.
using TensorEdits = std::map<std::string, std::optional<TensorEdit>>;

/// Writes a safetensors file to `out` with some tensors replaced, removed or, where there were none
/// of their names, added; edits come after all others, in the order of their names. Others, of
/// whatever dtype, and the metadata stay as they are. old: the file as it was, null for none. Data
/// are copied in parts, so that memory does not grow with the file. Not committed. Throws
/// InputError naming `old` where it cannot be read.
void write_edited_safetensors(const SafeTensorsFile* old, const TensorEdits& edits,
                              AtomicFile& out);

}  // namespace hashep
