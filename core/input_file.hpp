// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace hashep {

/// A regular file that is open for reading. Reads are plain ones (pread), not a map: a file that
/// shrinks while it is read is an error with its name, not a SIGBUS. All functions may be called
/// by several threads at once. Throws InputError, naming the path and the reason, where a file
/// cannot be opened or read.
class InputFile {
 public:
  explicit InputFile(std::string path);
  ~InputFile();
  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&& other) noexcept;

  const std::string& path() const { return path_; }
  /// Bytes, as they were when the file was opened.
  int64_t size() const { return size_; }

  /// Fills all of `out` from byte `offset` on. Throws InputError where the file ends before.
  void read(int64_t offset, std::span<std::byte> out) const;
  /// The whole file. Throws InputError where it is larger than the machine's memory.
  std::vector<std::byte> read_all() const;

  /// Throws InputError where `bytes`, which are to be read into memory at once, are more than the
  /// machine has.
  void require_memory_for(int64_t bytes) const;

  /// Lets go of the page cache's pages of this file, as far as nobody else uses them: a hint.
  void drop_cache() const;

 private:
  std::string path_;
  int descriptor_ = -1;
  int64_t size_ = 0;
};

/// The whole of the file at `path`: what InputFile::read_all gives, and its errors.
std::vector<std::byte> read_file(const std::string& path);
/// The same as text.
std::string read_text_file(const std::string& path);

}  // namespace hashep
