// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

namespace hashep {

/// A file mapped read-only into memory; pages are read when they are touched. Throws InputError,
/// naming the path and the reason, where a file cannot be opened or mapped. An empty file is an
/// empty span.
class MappedFile {
 public:
  explicit MappedFile(const std::string& path);
  ~MappedFile();
  MappedFile(MappedFile&& other) noexcept;
  MappedFile& operator=(MappedFile&& other) noexcept;

  std::span<const std::byte> bytes() const { return {data_, size_}; }

  /// Lets go of the memory of all pages touched so far; touched again they are read again.
  void drop_pages() const;
  const std::string& path() const { return path_; }

 private:
  std::string path_;
  const std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace hashep
