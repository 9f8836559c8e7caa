// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace hashep {

/// What a file is that a reader of some format cannot read, for its error message: "it is a git-lfs
/// pointer, ...", "it is empty", "it is text: ..." with the first of it quoted; empty where that is
/// not known. start: its first kFileKindBytes (file_kind.hpp), or all of it.
std::string what_it_is(std::span<const std::byte> start, int64_t file_size);

/// The same for a file at `path`; empty, too, where it cannot be read.
std::string what_it_is(const std::string& path);

}  // namespace hashep
