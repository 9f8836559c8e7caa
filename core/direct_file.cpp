// SPDX-License-Identifier: Apache-2.0
#include "core/direct_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "hashep/error.hpp"

namespace hashep {
namespace {

int64_t time_of_modification(const struct stat& info) {
  constexpr int64_t kNsPerSecond = 1'000'000'000;
  return int64_t{info.st_mtim.tv_sec} * kNsPerSecond + int64_t{info.st_mtim.tv_nsec};
}

[[noreturn]] void fail(const std::string& path, const std::string& reason) {
  throw InputError(path + ": cannot read: " + reason);
}

}  // namespace

DirectFile::DirectFile(std::string path) : path_(std::move(path)) {
  constexpr int kFlags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
  descriptor_ = open(path_.c_str(), kFlags | O_DIRECT);
  is_direct_ = descriptor_ >= 0;
  if (!is_direct_ && errno == EINVAL) descriptor_ = open(path_.c_str(), kFlags);
  if (descriptor_ < 0) fail(path_, std::generic_category().message(errno));
  struct stat info = {};
  const bool has_info = fstat(descriptor_, &info) == 0;
  const std::string reason =
      has_info ? "not a regular file" : std::generic_category().message(errno);
  if (!has_info || !S_ISREG(info.st_mode)) {
    close(descriptor_);
    fail(path_, reason);
  }
  size_ = int64_t{info.st_size};
  modified_ = time_of_modification(info);
}

DirectFile::~DirectFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

DirectFile::DirectFile(DirectFile&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      is_direct_(other.is_direct_),
      size_(other.size_),
      modified_(other.modified_) {}

void DirectFile::require_unchanged() const {
  struct stat info = {};
  if (fstat(descriptor_, &info) != 0) fail(path_, std::generic_category().message(errno));
  if (int64_t{info.st_size} == size_ && time_of_modification(info) == modified_) return;
  throw InputError(path_ + ": was changed while it was read");
}

}  // namespace hashep
