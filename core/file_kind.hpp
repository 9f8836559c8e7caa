// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <span>
#include <string>

namespace hashep {

/// Bytes from a file's start that tell its kind.
inline constexpr size_t kFileKindBytes = 4096;

/// What a file is, in words for a message ("a git-lfs pointer, ..."), where it is of a kind that
/// people often have in place of another: pointers and web pages, archives, pickles, tensors,
/// tables, JSON. Empty for all others. start: its first kFileKindBytes, or all of it.
std::string file_kind(std::span<const std::byte> start);

/// Whether this is a pointer of git-lfs, which is text, too.
bool is_lfs_pointer(std::span<const std::byte> start);

/// Whether these are bytes of ASCII text: printable characters and white space.
bool is_ascii_text(std::span<const std::byte> start);

}  // namespace hashep
