// SPDX-License-Identifier: Apache-2.0
#include "comm/shared_window.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <random>
#include <system_error>
#include <utility>

#include "comm/agreement.hpp"
#include "core/format.hpp"
#include "core/setting.hpp"
#include "core/units.hpp"
#include "hashep/error.hpp"

namespace hashep {
namespace {

constexpr int64_t kStride = int64_t{64} << 20;  // bytes reserved between looks at stop signals

[[noreturn]] void throw_error(const char* call, int code, const std::string& more) {
  throw RunError(std::string(call) + " failed: " + std::generic_category().message(code) + " (" +
                 more + " " + setting("transport") + " mpi needs none)");
}

/// A name in /dev/shm, for as long as ranks need it to find a file. All of them drop it, so that
/// none is left where the one that made it is killed.
class Name {
 public:
  explicit Name(int64_t key)
      : text_(format("/hashep-%016llx", static_cast<unsigned long long>(key))) {}
  ~Name() { shm_unlink(text_.c_str()); }
  Name(const Name&) = delete;
  Name& operator=(const Name&) = delete;

  /// These return the file's descriptor.
  int make() const { return open_file(O_CREAT | O_EXCL); }
  int find() const { return open_file(0); }

 private:
  int open_file(int flags) const {
    const int file = shm_open(text_.c_str(), O_RDWR | flags, 0600);
    if (file < 0) {
      throw_error("shm_open", errno,
                  "ranks of a node share memory by one /dev/shm, which must be "
                  "there for all of them;");
    }
    return file;
  }

  const std::string text_;
};

/// Whether the file system of a file has room for so many bytes more, as far as it tells: what is
/// hopeless should not first take all that others could have.
bool has_room(int file, int64_t bytes) {
  struct statvfs system = {};
  if (fstatvfs(file, &system) != 0 || system.f_blocks == 0) return true;  // no limit
  return static_cast<double>(bytes) <=
         static_cast<double>(system.f_bavail) * static_cast<double>(system.f_frsize);
}

int64_t random_key() {
  std::random_device source;
  return static_cast<int64_t>(uint64_t{source()} << 32 | source());
}

}  // namespace

SharedWindow::SharedWindow(const Communicator& node, Watch& watch, int64_t bytes) {
  const bool makes = node.rank() == 0;
  // A killed job leaves a name behind in the moment between making and unlinking alone, and that of
  // an empty file.
  const Name name(gather_word(node, watch, makes ? random_key() : 0).front());
  try {
    agree(node, watch, [&] {
      if (makes) file_ = name.make();
    });
    agree(node, watch, [&] {
      if (!makes) file_ = name.find();
      void* const memory =
          mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE, MAP_SHARED, file_, 0);
      if (memory == MAP_FAILED) {
        throw_error("mmap", errno, format_bytes(bytes) + " of shared memory;");
      }
      data_ = static_cast<std::byte*>(memory);
      bytes_ = bytes;
    });
  } catch (...) {
    free();
    throw;
  }
}

void SharedWindow::reserve(const Communicator& node, Watch& watch, Range own) {
  const auto refuse = [&own](int code) {
    throw_error("fallocate", code,
                format_bytes(own.size()) + " of shared memory; is /dev/shm large enough?");
  };
  agree(node, watch, [&] {
    if (!has_room(file_, own.size() - reserved_)) refuse(ENOSPC);
    for (int64_t begin = own.begin; begin < own.end; begin += kStride) {
      const int64_t size = std::min(kStride, own.end - begin);
      while (fallocate(file_, 0, begin, size) != 0) {
        if (errno != EINTR) refuse(errno);
        watch.check_stop();
      }
      watch.check_stop();
    }
    reserved_ = own.size();
  });
}

SharedWindow::~SharedWindow() {
  free();
}

SharedWindow::SharedWindow(SharedWindow&& other) noexcept
    : file_(std::exchange(other.file_, -1)),
      data_(std::exchange(other.data_, nullptr)),
      bytes_(std::exchange(other.bytes_, 0)),
      reserved_(std::exchange(other.reserved_, 0)) {}

SharedWindow& SharedWindow::operator=(SharedWindow&& other) noexcept {
  if (this == &other) return *this;
  free();
  file_ = std::exchange(other.file_, -1);
  data_ = std::exchange(other.data_, nullptr);
  bytes_ = std::exchange(other.bytes_, 0);
  reserved_ = std::exchange(other.reserved_, 0);
  return *this;
}

void SharedWindow::free() noexcept {
  if (data_ != nullptr) munmap(data_, static_cast<size_t>(bytes_));
  if (file_ >= 0) close(file_);
  file_ = -1;
  data_ = nullptr;
  bytes_ = 0;
  reserved_ = 0;
}

}  // namespace hashep
