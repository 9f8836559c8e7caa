// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace hashep {

/// A regular file that is open for reads past the system's cache (O_DIRECT), where its file system
/// has them; else for plain ones. Throws InputError, naming the path and the reason.
class DirectFile {
 public:
  /// What offsets, sizes and memory of direct reads are multiples of, in bytes.
  static constexpr int64_t kAlignment = 4096;

  explicit DirectFile(std::string path);
  ~DirectFile();
  DirectFile(DirectFile&& other) noexcept;
  DirectFile& operator=(DirectFile&&) = delete;

  const std::string& path() const { return path_; }
  int descriptor() const { return descriptor_; }
  bool is_direct() const { return is_direct_; }
  /// Bytes, as they were when the file was opened.
  int64_t size() const { return size_; }

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

}  // namespace hashep
