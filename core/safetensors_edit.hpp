// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>

#include "core/atomic_file.hpp"
#include "core/safetensors.hpp"

namespace hashep {

/// What becomes of a tensor: other contents, or nothing.
using TensorEdits = std::map<std::string, std::optional<TensorContents>>;

/// Writes a safetensors file to `out` with some tensors replaced, removed or, where there were none
/// of their names, added at the end; all others, of whatever dtype, and the metadata stay as they
/// are. old: the file as it was, null for none. Data are copied in parts, so that memory does not
/// grow with the file. Not committed. Throws InputError naming `old` where it cannot be read.
void write_edited_safetensors(const SafeTensorsFile* old, const TensorEdits& edits,
                              AtomicFile& out);

}  // namespace hashep
