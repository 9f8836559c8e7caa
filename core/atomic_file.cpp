// SPDX-License-Identifier: Apache-2.0
#include "core/atomic_file.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <system_error>
#include <utility>

#include "hashep/error.hpp"

namespace hashep {
namespace {

namespace fs = std::filesystem;

constexpr mode_t kMode = 0666;  // the user's umask takes away from it

std::string last_error() {
  return std::generic_category().message(errno);
}

/// The place to write to.
std::string resolve(const std::string& path, LinkAt link) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) {
    if (path.empty() || path.back() == '/') throw InputError(path + ": not the name of a file");
    return path;
  }
  if (!fs::is_regular_file(status)) throw InputError(path + ": cannot write: not a regular file");
  if (link == LinkAt::replace && fs::is_symlink(fs::symlink_status(path, error))) return path;
  if (access(path.c_str(), W_OK) != 0) throw InputError(path + ": cannot write: " + last_error());
  return fs::canonical(path).string();
}

std::string folder_of(const std::string& path) {
  const fs::path folder = fs::path(path).parent_path();
  return folder.empty() ? "." : folder.string();
}

std::string descriptor_path(int descriptor) {
  return "/proc/self/fd/" + std::to_string(descriptor);
}

/// A file without a name in the folder of `path`, so that even a killed process leaves nothing
/// behind; -1 where the file system has no such files.
int open_unnamed(const std::string& path) {
  const int descriptor = open(folder_of(path).c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, kMode);
  if (descriptor < 0) return -1;
  if (access(descriptor_path(descriptor).c_str(), F_OK) == 0) return descriptor;
  close(descriptor);  // without /proc it could never be given a name
  return -1;
}

/// Gives a file without a name one. False, with errno set, where that fails.
bool link_unnamed(int descriptor, const std::string& name) {
  const std::string unnamed = descriptor_path(descriptor);
  return linkat(AT_FDCWD, unnamed.c_str(), AT_FDCWD, name.c_str(), AT_SYMLINK_FOLLOW) == 0;
}

std::string name_beside(const std::string& path, uint64_t token) {
  return path + "." + std::to_string(token) + ".tmp";
}

/// Calls `make` with names beside `path` until one was free. Returns the name; an empty one, with
/// errno set, on any failure other than "exists".
std::string make_free_name(const std::string& path,
                           const std::function<bool(const std::string&)>& make) {
  constexpr int kMaxAttempts = 1000;
  for (int attempt = 0; attempt < kMaxAttempts; ++attempt) {
    std::string name =
        path + "." + std::to_string(getpid()) + "." + std::to_string(attempt) + ".tmp";
    if (make(name)) return name;
    if (errno != EEXIST) break;
  }
  return {};
}

}  // namespace

AtomicFile::AtomicFile(const std::string& path, LinkAt link) : path_(resolve(path, link)) {
  descriptor_ = open_unnamed(path_);
  if (descriptor_ >= 0) return;
  temporary_path_ = make_free_name(path_, [&](const std::string& name) {
    descriptor_ = open(name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, kMode);
    return descriptor_ >= 0;
  });
  if (descriptor_ < 0) throw InputError(path_ + ": cannot write: " + last_error());
}

AtomicFile::~AtomicFile() {
  if (descriptor_ >= 0) close(descriptor_);
  if (!temporary_path_.empty()) unlink(temporary_path_.c_str());
}

AtomicFile::AtomicFile(AtomicFile&& other) noexcept
    : path_(std::move(other.path_)),
      temporary_path_(std::exchange(other.temporary_path_, {})),
      descriptor_(std::exchange(other.descriptor_, -1)) {}

void AtomicFile::write(std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(descriptor_, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      throw RunError(path_ + ": write failed: " + last_error());
    }
    bytes = bytes.subspan(written);
  }
}

void AtomicFile::write_at(std::span<const std::byte> bytes, int64_t offset) {
  hashep::write_at(descriptor_, path_, bytes, offset);
}

void AtomicFile::show_as(uint64_t token) {
  const std::string name = name_beside(path_, token);
  const bool shown = is_unnamed() ? link_unnamed(descriptor_, name)
                                  : std::rename(temporary_path_.c_str(), name.c_str()) == 0;
  if (!shown) throw InputError(path_ + ": cannot write: " + last_error());
  temporary_path_ = name;
}

std::string AtomicFile::temporary_path(const std::string& path, uint64_t token) {
  return name_beside(resolve(path, LinkAt::follow), token);
}

void AtomicFile::write(std::string_view text) {
  write(std::as_bytes(std::span(text)));
}

void AtomicFile::commit() {
  if (fsync(descriptor_) != 0) throw RunError(path_ + ": fsync failed: " + last_error());
  if (temporary_path_.empty()) {
    // A name can be given to an unnamed file, but not that of a file that exists.
    temporary_path_ = make_free_name(
        path_, [&](const std::string& name) { return link_unnamed(descriptor_, name); });
    if (temporary_path_.empty()) throw RunError(path_ + ": linkat failed: " + last_error());
  }
  if (close(std::exchange(descriptor_, -1)) != 0) {
    throw RunError(path_ + ": close failed: " + last_error());
  }
  if (std::rename(temporary_path_.c_str(), path_.c_str()) != 0) {
    throw RunError(path_ + ": rename failed: " + last_error());
  }
  temporary_path_.clear();
}

void write_at(int descriptor, const std::string& path, std::span<const std::byte> bytes,
              int64_t offset) {
  while (!bytes.empty()) {
    const ssize_t written = pwrite(descriptor, bytes.data(), bytes.size(), offset);
    if (written < 0) {
      if (errno == EINTR) continue;
      throw RunError(path + ": write failed: " + last_error());
    }
    bytes = bytes.subspan(written);
    offset += written;
  }
}

void write_file_atomically(const std::string& path, std::string_view text) {
  AtomicFile file(path);
  file.write(text);
  file.commit();
}

}  // namespace hashep
