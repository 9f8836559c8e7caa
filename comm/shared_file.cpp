// SPDX-License-Identifier: Apache-2.0
#include "comm/shared_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <random>
#include <system_error>
#include <utility>

#include "comm/agreement.hpp"
#include "comm/gather.hpp"

namespace hashep {
namespace {

std::string last_error() {
  return std::generic_category().message(errno);
}

std::string host_name() {
  std::array<char, 256> name{};
  return gethostname(name.data(), name.size() - 1) == 0 ? name.data() : "an unknown host";
}

/// Another name for each job, so that a file of that name is this job's.
uint64_t random_token() {
  std::random_device device;
  return (uint64_t{device()} << 32) | device();
}

/// Which file it is, on one machine.
struct Identity {
  int64_t device = 0;
  int64_t inode = 0;

  bool operator==(const Identity&) const = default;
};

/// Nothing where the file is not there or is no regular file.
std::optional<Identity> identity(const std::string& path) {
  struct stat status {};
  if (stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
  return Identity{static_cast<int64_t>(status.st_dev), static_cast<int64_t>(status.st_ino)};
}

std::string descriptor_path(int64_t process, int64_t descriptor) {
  return "/proc/" + std::to_string(process) + "/fd/" + std::to_string(descriptor);
}

}  // namespace

SharedFile::SharedFile(const Communicator& comm, const NodeMap& nodes, Watch& watch,
                       const std::string& path)
    : comm_(comm), watch_(watch), path_(path) {
  agree(comm, watch, [&] {
    if (comm.rank() == 0) own_.emplace(path);
  });
  if (comm.size() == 1) return;
  if (nodes.num_nodes() > 1 || !open_unnamed()) open_by_name();
}

SharedFile::~SharedFile() {
  if (descriptor_ >= 0) close(descriptor_);
  if (!temporary_path_.empty()) unlink(temporary_path_.c_str());
}

bool SharedFile::open_unnamed() {
  std::array<int64_t, 4> words{};  // process, descriptor, device, inode; no process: has a name
  if (own_ && own_->is_unnamed()) {
    const std::string mine = descriptor_path(getpid(), own_->descriptor());
    if (const auto file = identity(mine)) {
      words = {getpid(), own_->descriptor(), file->device, file->inode};
    }
  }
  for (int64_t& word : words) word = gather_word(comm_, watch_, word).front();
  if (words[0] == 0) return false;
  if (!own_) {
    // Where processes have other numbers here, the file of that name is another one, or none.
    const std::string path = descriptor_path(words[0], words[1]);
    if (identity(path) == Identity{words[2], words[3]}) {
      descriptor_ = open(path.c_str(), O_WRONLY | O_CLOEXEC);
    }
  }
  const auto opened = gather_word(comm_, watch_, descriptor() >= 0 ? 1 : 0);
  if (std::count(opened.begin(), opened.end(), 0) == 0) return true;
  if (descriptor_ >= 0) close(std::exchange(descriptor_, -1));
  return false;
}

void SharedFile::open_by_name() {
  const auto token = static_cast<uint64_t>(
      gather_word(comm_, watch_, static_cast<int64_t>(own_ ? random_token() : 0)).front());
  agree(comm_, watch_, [&] {
    if (own_) own_->show_as(token);
  });
  agree(comm_, watch_, [&] {
    if (own_) return;
    const std::string name = AtomicFile::temporary_path(path_, token);
    descriptor_ = open(name.c_str(), O_WRONLY | O_CLOEXEC);
    if (descriptor_ < 0) {
      throw InputError(path_ + ": rank " + std::to_string(comm_.rank()) + " on " + host_name() +
                       " cannot open the file that rank 0 made there (" + last_error() +
                       "): all ranks have to share its file system");
    }
    temporary_path_ = name;
  });
}

void SharedFile::flush(int64_t offset, int64_t size) {
  // A hint, so that the last flush is short: where a file system has none, nothing is lost.
  if (size > 0) sync_file_range(descriptor(), offset, size, SYNC_FILE_RANGE_WRITE);
  if (flushing_size_ > 0) {
    sync_file_range(
        descriptor(), flushing_offset_, flushing_size_,
        SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
  }
  flushing_offset_ = offset;
  flushing_size_ = size;
}

void SharedFile::write(std::span<const std::byte> part, int64_t offset) {
  const auto size = std::ssize(part);
  const int64_t most = reduce_max(comm_, watch_, size);
  for (int64_t begin = 0; begin < most; begin += kTurnBytes) {
    agree(comm_, watch_, [&] {
      const int64_t first = std::min<int64_t>(begin, size);
      const int64_t count = std::min<int64_t>(kTurnBytes, size - first);
      write_at(descriptor(), path_, part.subspan(first, count), offset + first);
      flush(offset + first, count);
    });
  }
  agree(comm_, watch_, [&] { flush(offset, 0); });
}

void SharedFile::commit() {
  agree(comm_, watch_, [&] {
    if (own_) return;
    if (fsync(descriptor_) != 0) throw RunError(path_ + ": fsync failed: " + last_error());
    if (close(std::exchange(descriptor_, -1)) != 0) {
      throw RunError(path_ + ": close failed: " + last_error());
    }
  });
  agree(comm_, watch_, [&] {
    if (own_) own_->commit();
  });
  temporary_path_.clear();
}

}  // namespace hashep
