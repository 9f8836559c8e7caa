// SPDX-License-Identifier: Apache-2.0
#include "tests/support/allocation_count.hpp"

#include <sys/types.h>

#include <atomic>
#include <cstddef>
#include <new>

namespace {

std::atomic<int64_t> by_new = 0;
std::atomic<int64_t> by_mmap = 0;
std::atomic<int64_t> new_bytes = 0;

void count_new(size_t size) {
  ++by_new;
  new_bytes += static_cast<int64_t>(size);
}

}  // namespace

// The linker's --wrap=NAME sends calls of NAME to __wrap_NAME and calls of __real_NAME to NAME. The
// mangled names are operator new, operator new[], and both with an alignment. There is no malloc:
// the layers under test call none (tests/lint.sh), and LIBXSMM wraps it itself.
extern "C" {
void* __real__Znwm(size_t size);
void* __real__Znam(size_t size);
void* __real__ZnwmSt11align_val_t(size_t size, std::align_val_t alignment);
void* __real__ZnamSt11align_val_t(size_t size, std::align_val_t alignment);
void* __real_mmap(void* address, size_t size, int protection, int flags, int file, off_t offset);

void* __wrap__Znwm(size_t size) {
  count_new(size);
  return __real__Znwm(size);
}
void* __wrap__Znam(size_t size) {
  count_new(size);
  return __real__Znam(size);
}
void* __wrap__ZnwmSt11align_val_t(size_t size, std::align_val_t alignment) {
  count_new(size);
  return __real__ZnwmSt11align_val_t(size, alignment);
}
void* __wrap__ZnamSt11align_val_t(size_t size, std::align_val_t alignment) {
  count_new(size);
  return __real__ZnamSt11align_val_t(size, alignment);
}
void* __wrap_mmap(void* address, size_t size, int protection, int flags, int file, off_t offset) {
  ++by_mmap;
  return __real_mmap(address, size, protection, flags, file, offset);
}
}

namespace hashep::test {

int64_t allocation_count() {
  return by_new.load() + by_mmap.load();
}

int64_t new_count() {
  return by_new.load();
}

int64_t allocated_bytes() {
  return new_bytes.load();
}

}  // namespace hashep::test
