// SPDX-License-Identifier: Apache-2.0
#include "hashep/buffer.hpp"

#include <cstring>
#include <new>
#include <utility>

#include "tests/support/catch.hpp"

using namespace hashep;

TEST_CASE("buffers of all sizes are aligned, writable to their last byte, and grow exactly") {
  Buffer buffer;
  CHECK(buffer.data() == nullptr);
  for (const int64_t bytes : {int64_t{1}, int64_t{4097}, (int64_t{1} << 20) - 1, int64_t{1} << 20,
                              (int64_t{5} << 20) + 3}) {
    buffer.reserve(bytes);
    CHECK(buffer.capacity() == bytes);
    CHECK(reinterpret_cast<uintptr_t>(buffer.data()) % Buffer::kAlignment == 0);
    std::memset(buffer.data(), 0x5a, bytes);
    CHECK(buffer.data()[bytes - 1] == std::byte{0x5a});
  }
}

TEST_CASE("a buffer keeps its memory where less is asked for, and moves it") {
  Buffer buffer(2 << 20);
  std::byte* const memory = buffer.data();
  buffer.reserve(100);
  CHECK(buffer.data() == memory);
  CHECK(buffer.capacity() == 2 << 20);
  Buffer moved(std::move(buffer));
  CHECK(moved.data() == memory);
  Buffer assigned(10);
  assigned = std::move(moved);
  CHECK(assigned.data() == memory);
  CHECK(assigned.capacity() == 2 << 20);
}

TEST_CASE("memory that is not there is bad_alloc, and leaves an empty buffer") {
  Buffer buffer(10);
  CHECK_THROWS_AS(buffer.reserve(int64_t{1} << 60), std::bad_alloc);
  CHECK(buffer.capacity() == 0);
}
