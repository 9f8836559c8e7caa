// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace hashep {

/// What becomes of a link that stands at the place of a file to be written.
enum class LinkAt {
  follow,   // the file that it leads to is written anew, as `>` of a shell does
  replace,  // the link itself: what it leads to may be shared (a store of files by their contents)
};

/// A file that appears whole or not at all: written beside its place under a temporary name, and
/// renamed by commit(). Without commit() nothing is left behind. Throws InputError where the place
/// cannot be written to (found in the constructor), RunError where writing fails later.
class AtomicFile {
 public:
  /// A link that leads nowhere is replaced in any case.
  explicit AtomicFile(const std::string& path, LinkAt link = LinkAt::follow);
  ~AtomicFile();
  AtomicFile(AtomicFile&& other) noexcept;
  AtomicFile& operator=(AtomicFile&&) = delete;

  /// Appends at the current end.
  void write(std::span<const std::byte> bytes);
  void write(std::string_view text);
  /// Flushes, renames over `path`.
  void commit();

 private:
  std::string path_;
  std::string temporary_path_;
  int descriptor_ = -1;
};

/// Writes `text` to `path`, whole or not at all.
void write_file_atomically(const std::string& path, std::string_view text);

}  // namespace hashep
