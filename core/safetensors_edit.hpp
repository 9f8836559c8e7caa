// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/atomic_file.hpp"
#include "core/safetensors.hpp"

namespace hashep {

/// What becomes of a tensor: other contents, or nothing.
struct TensorContents {
  DType dtype = DType::f32;
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;
};
using TensorEdits = std::map<std::string, std::optional<TensorContents>>;

/// Writes the safetensors file `bytes` to `out` with some tensors replaced, removed or, where there
/// were none of their names, added at the end; all others, of whatever dtype, and the metadata stay
/// as they are. Not committed. Throws InputError naming `source` where `bytes` are no such file.
void write_edited_safetensors(std::span<const std::byte> bytes, const std::string& source,
                              const TensorEdits& edits, AtomicFile& out);

}  // namespace hashep
