// SPDX-License-Identifier: Apache-2.0
#include "hashep/buffer.hpp"

#include <sys/mman.h>

#include <new>
#include <utility>

namespace hashep {
namespace {

constexpr int64_t kMappedFrom = int64_t{1} << 20;  // bytes

bool is_mapped(int64_t bytes) {
  return bytes >= kMappedFrom;
}

std::byte* map(int64_t bytes) {
  void* memory = mmap(nullptr, static_cast<size_t>(bytes), PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) throw std::bad_alloc();
  return static_cast<std::byte*>(memory);
}

}  // namespace

Buffer::Buffer(Buffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), capacity_(std::exchange(other.capacity_, 0)) {}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(capacity_, other.capacity_);
  return *this;
}

void Buffer::reserve(int64_t bytes) {
  if (bytes <= capacity_) return;
  release();
  data_ = is_mapped(bytes) ? map(bytes)
                           : static_cast<std::byte*>(::operator new[](
                                 static_cast<size_t>(bytes), std::align_val_t{kAlignment}));
  capacity_ = bytes;
}

void Buffer::release() {
  if (is_mapped(capacity_)) {
    munmap(data_, static_cast<size_t>(capacity_));
  } else {
    ::operator delete[](data_, std::align_val_t{kAlignment});
  }
  data_ = nullptr;
  capacity_ = 0;
}

}  // namespace hashep
