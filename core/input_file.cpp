// SPDX-License-Identifier: Apache-2.0
#include "core/input_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>
#include <utility>

#include "hashep/error.hpp"

namespace hashep {
namespace {

[[noreturn]] void fail(const std::string& path, const std::string& reason) {
  throw InputError(path + ": cannot read: " + reason);
}

int64_t time_of_modification(const struct stat& info) {
  constexpr int64_t kNsPerSecond = 1'000'000'000;
  return int64_t{info.st_mtim.tv_sec} * kNsPerSecond + int64_t{info.st_mtim.tv_nsec};
}

}  // namespace

InputFile::InputFile(std::string path, Cache cache) : path_(std::move(path)) {
  // Without O_NONBLOCK, opening a named pipe would wait for a writer.
  constexpr int kFlags = O_RDONLY | O_CLOEXEC | O_NONBLOCK;
  is_direct_ = cache == Cache::none;
  descriptor_ = open(path_.c_str(), is_direct_ ? kFlags | O_DIRECT : kFlags);
  if (descriptor_ < 0 && is_direct_ && errno == EINVAL) {
    is_direct_ = false;
    descriptor_ = open(path_.c_str(), kFlags);
  }
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

InputFile::~InputFile() {
  if (descriptor_ >= 0) close(descriptor_);
}

InputFile::InputFile(InputFile&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      is_direct_(other.is_direct_),
      size_(std::exchange(other.size_, 0)),
      modified_(std::exchange(other.modified_, 0)) {}

InputFile& InputFile::operator=(InputFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(is_direct_, other.is_direct_);
  std::swap(size_, other.size_);
  std::swap(modified_, other.modified_);
  return *this;
}

void InputFile::read(int64_t offset, std::span<std::byte> out) const {
  while (!out.empty()) {
    // Linux moves at most this many bytes a call (read(2)).
    constexpr size_t kMostBytes = 0x7ffff000;
    const ssize_t count =
        pread(descriptor_, out.data(), std::min(out.size(), kMostBytes), off_t{offset});
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail(path_, std::generic_category().message(errno));
    if (count == 0) {
      fail(path_, "it ends at byte " + std::to_string(offset) + ", but had " +
                      std::to_string(size_) + " bytes when it was opened");
    }
    out = out.subspan(count);
    offset += count;
  }
}

std::vector<std::byte> InputFile::read_all() const {
  require_memory_for(size_);
  std::vector<std::byte> bytes(size_);
  read(0, bytes);
  return bytes;
}

void InputFile::require_memory_for(int64_t bytes) const {
  // Where the system overcommits, taking too much would not fail but end the process.
  const int64_t memory = int64_t{sysconf(_SC_PHYS_PAGES)} * int64_t{sysconf(_SC_PAGESIZE)};
  if (bytes > memory) {
    fail(path_, std::to_string(bytes) + " bytes, more than this machine's memory of " +
                    std::to_string(memory));
  }
}

void InputFile::require_unchanged() const {
  struct stat info = {};
  if (fstat(descriptor_, &info) != 0) fail(path_, std::generic_category().message(errno));
  if (int64_t{info.st_size} == size_ && time_of_modification(info) == modified_) return;
  throw InputError(path_ + ": was changed while it was read");
}

std::vector<std::byte> read_file(const std::string& path) {
  return InputFile(path).read_all();
}

std::string read_text_file(const std::string& path) {
  constexpr int64_t kMaxBytes = int64_t{256} << 20;  // what is parsed takes several times that
  const InputFile file(path);
  if (file.size() > kMaxBytes) {
    throw InputError(path + ": " + std::to_string(file.size()) +
                     " bytes are too many for a file of this kind (at most 256 MiB)");
  }
  std::string text(static_cast<size_t>(file.size()), '\0');
  file.read(0, std::as_writable_bytes(std::span(text)));
  return text;
}

}  // namespace hashep
