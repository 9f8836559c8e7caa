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
  /// What offsets, sizes and memory of direct reads are multiples of, in bytes.
  static constexpr int64_t kDirectAlignment = 4096;
  enum class Cache {
    system,  // reads go through the system's cache
    none,    // they go past it (O_DIRECT), where the file system can: see is_direct
  };

  explicit InputFile(std::string path, Cache cache = Cache::system);
  ~InputFile();
  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&& other) noexcept;

  const std::string& path() const { return path_; }
  /// Bytes, as they were when the file was opened.
  int64_t size() const { return size_; }

  /// For a ReadQueue. With Cache::none `read` is not to be used.
  int descriptor() const { return descriptor_; }
  /// Whether reads go past the system's cache, and have to be aligned.
  bool is_direct() const { return is_direct_; }

  /// Fills all of `out` from byte `offset` on. Throws InputError where the file ends before.
  void read(int64_t offset, std::span<std::byte> out) const;
  /// The whole file. Throws InputError where it is larger than the machine's memory.
  std::vector<std::byte> read_all() const;

  /// Throws InputError where `bytes`, which are to be read into memory at once, are more than the
  /// machine has.
  void require_memory_for(int64_t bytes) const;

  /// Throws InputError where the file was written to since it was opened: its size or its time of
  /// modification is another one.
  void require_unchanged() const;

 private:
  std::string path_;
  int descriptor_ = -1;
  bool is_direct_ = false;
  int64_t size_ = 0;
  int64_t modified_ = 0;  // ns since the epoch
};

/// The whole of the file at `path`: what InputFile::read_all gives, and its errors.
std::vector<std::byte> read_file(const std::string& path);
/// The same as text, for files that are parsed whole. Throws InputError above 256 MiB, too.
std::string read_text_file(const std::string& path);

}  // namespace hashep
