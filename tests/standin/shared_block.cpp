// SPDX-License-Identifier: Apache-2.0
#include "tests/standin/shared_block.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <new>
#include <string>

namespace hashep::test::standin {
namespace {

constexpr size_t kPage = 4096;

/// A file's part in memory, at `place` or anywhere; null where that fails.
std::byte* map_file(int file, size_t offset, size_t bytes, std::byte* place) {
  void* data =
      mmap(place, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | (place == nullptr ? 0 : MAP_FIXED),
           file, static_cast<off_t>(offset));
  return data == MAP_FAILED ? nullptr : static_cast<std::byte*>(data);
}

}  // namespace

std::unique_ptr<SharedBlock> SharedBlock::make(int64_t bytes) {
  const int file = memfd_create("hashep-standin", MFD_CLOEXEC);
  if (file < 0) return nullptr;
  std::unique_ptr<SharedBlock> block(new SharedBlock);
  block->is_owner_ = true;
  block->name_ = {getpid(), file, 0, bytes};  // keeps the file open
  struct stat status {};
  if (ftruncate(file, static_cast<off_t>(bytes) + static_cast<off_t>(kPage)) != 0 ||
      fstat(file, &status) != 0 || !block->map(file)) {
    return nullptr;
  }
  block->name_.inode = status.st_ino;
  new (block->mappings_) std::atomic<int>(0);
  return block;
}

std::unique_ptr<SharedBlock> SharedBlock::open(const Name& name) {
  const std::string path =
      "/proc/" + std::to_string(name.process) + "/fd/" + std::to_string(name.file);
  const int file = ::open(path.c_str(), O_RDWR | O_CLOEXEC);
  if (file < 0) return nullptr;
  std::unique_ptr<SharedBlock> block(new SharedBlock);
  block->name_ = name;
  struct stat status {};
  const bool found = fstat(file, &status) == 0 && status.st_ino == name.inode && block->map(file);
  close(file);
  if (!found) return nullptr;
  ++*block->mappings_;
  block->is_counted_ = true;
  return block;
}

bool SharedBlock::map(int file) {
  const auto bytes = static_cast<size_t>(name_.bytes);
  void* reserved = mmap(nullptr, bytes + 2 * kPage, PROT_NONE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (reserved == MAP_FAILED) return false;
  reserved_ = static_cast<std::byte*>(reserved);
  data_ = map_file(file, 0, bytes, reserved_ + kPage);
  mappings_ = reinterpret_cast<std::atomic<int>*>(map_file(file, bytes, kPage, nullptr));
  return data_ != nullptr && mappings_ != nullptr;
}

SharedBlock::~SharedBlock() {
  if (mappings_ != nullptr) {
    if (is_counted_) --*mappings_;
    munmap(mappings_, kPage);
  }
  if (reserved_ != nullptr) munmap(reserved_, static_cast<size_t>(name_.bytes) + 2 * kPage);
  if (is_owner_) close(name_.file);
}

}  // namespace hashep::test::standin
