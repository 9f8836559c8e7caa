// SPDX-License-Identifier: Apache-2.0
#include "core/cuda/device_buffer.hpp"

#include <cuda_runtime_api.h>

#include <utility>

#include "hashep/error.hpp"
#include "tests/standin/standin.hpp"
#include "tests/support/catch.hpp"

using namespace hashep;
using namespace hashep::test;
using standin::Order;

namespace {

int64_t alive_bytes() {
  return standin::alive().device_bytes + standin::alive().pinned_bytes;
}

template <typename Buffer>
void check_growth(const char* allocate) {
  standin::reset(Order::lazy);
  {
    Buffer buffer;
    CHECK(buffer.data() == nullptr);
    CHECK_FALSE(buffer.reserve(0));
    CHECK(buffer.reserve(100));
    CHECK(buffer.capacity() == 100);
    CHECK(alive_bytes() == 100);
    const std::byte* first = buffer.data();
    CHECK_FALSE(buffer.reserve(100));
    CHECK_FALSE(buffer.reserve(7));
    CHECK(buffer.data() == first);
    CHECK(buffer.reserve(101));
    CHECK(buffer.capacity() == kGpuPageBytes);
    CHECK(alive_bytes() == kGpuPageBytes);
    CHECK(standin::calls(allocate) == 2);
    CHECK(buffer.reserve(8 * kGpuPageBytes));
    CHECK(buffer.capacity() == 9 * kGpuPageBytes);
    CHECK_FALSE(buffer.grow(8 * kGpuPageBytes));
    CHECK(buffer.grow(8 * kGpuPageBytes + 1));  // it holds so much, but not the headroom
    CHECK(buffer.capacity() == 10 * kGpuPageBytes);
    CHECK(standin::calls(allocate) == 4);
  }
  CHECK(alive_bytes() == 0);
}

template <typename Buffer>
void check_slow_growth(const char* allocate) {
  standin::reset(Order::lazy);
  Buffer buffer;
  int64_t needed = 10 * kGpuPageBytes;
  for (int i = 0; i < 100; ++i) {
    buffer.reserve(needed);
    CHECK(buffer.capacity() >= needed);
    CHECK(buffer.capacity() <= grown_bytes(needed));
    needed += needed / 100;
  }
  CHECK(needed > 25 * kGpuPageBytes);
  CHECK(standin::calls(allocate) > 5);
  CHECK(standin::calls(allocate) < 12);
}

/// Where the headroom is not to be had; cudaErrorMemoryAllocation: of pinned memory too.
template <typename Buffer>
void check_growth_in_need(const char* allocate) {
  standin::reset(Order::lazy);
  {
    Buffer buffer(100);
    standin::fail(allocate, cudaErrorMemoryAllocation);
    CHECK(buffer.reserve(8 * kGpuPageBytes - 5));
    CHECK(buffer.capacity() == 8 * kGpuPageBytes);
    CHECK(alive_bytes() == 8 * kGpuPageBytes);
    standin::fail(allocate, cudaErrorMemoryAllocation, 0);
    standin::fail(allocate, cudaErrorMemoryAllocation, 1);
    CHECK_THROWS_AS(buffer.reserve(8 * kGpuPageBytes + 1), RunError);
    CHECK(buffer.capacity() == 0);
  }
  CHECK(cudaGetLastError() == cudaSuccess);
}

template <typename Buffer>
void check_moves(const char* free) {
  standin::reset(Order::lazy);
  {
    Buffer first(64);
    const std::byte* data = first.data();
    Buffer second(std::move(first));
    CHECK(first.data() == nullptr);
    CHECK(second.data() == data);
    Buffer third(32);
    third = std::move(second);
    CHECK(third.data() == data);
    CHECK(third.capacity() == 64);
    CHECK(alive_bytes() == 96);
  }
  CHECK(alive_bytes() == 0);
  CHECK(standin::calls(free) == 2);  // each once
}

template <typename Buffer>
void check_failure(const char* allocate) {
  standin::reset(Order::lazy);
  {
    Buffer buffer(64);
    standin::fail(allocate, cudaErrorInvalidValue);
    CHECK_THROWS_AS(buffer.reserve(65), RunError);
    CHECK(buffer.data() == nullptr);  // the old memory is gone, and it says so
    CHECK(buffer.capacity() == 0);
    CHECK(cudaGetLastError() == cudaSuccess);
    CHECK(buffer.reserve(1));
  }
  CHECK(alive_bytes() == 0);
}

}  // namespace

TEST_CASE("buffers of GPU and pinned memory are as large as asked for, and grow by more") {
  SECTION("GPU") {
    check_growth<DeviceBuffer>("cudaMalloc");
  }
  SECTION("pinned") {
    check_growth<PinnedBuffer>("cudaHostAlloc");
  }
}

TEST_CASE("buffers that are asked for a little more again and again grow seldom") {
  SECTION("GPU") {
    check_slow_growth<DeviceBuffer>("cudaMalloc");
  }
  SECTION("pinned") {
    check_slow_growth<PinnedBuffer>("cudaHostAlloc");
  }
}

TEST_CASE("where there is no memory for headroom a buffer grows to the size asked for") {
  SECTION("GPU") {
    check_growth_in_need<DeviceBuffer>("cudaMalloc");
  }
  SECTION("pinned") {
    check_growth_in_need<PinnedBuffer>("cudaHostAlloc");
  }
}

TEST_CASE("buffers of GPU and pinned memory move") {
  SECTION("GPU") {
    check_moves<DeviceBuffer>("cudaFree");
  }
  SECTION("pinned") {
    check_moves<PinnedBuffer>("cudaFreeHost");
  }
}

TEST_CASE("a buffer that cannot grow holds nothing") {
  SECTION("GPU") {
    check_failure<DeviceBuffer>("cudaMalloc");
  }
  SECTION("pinned") {
    check_failure<PinnedBuffer>("cudaHostAlloc");
  }
}

TEST_CASE("whoever frees is told before, and only where memory goes", "[small]") {
  const auto told = [](auto buffer) {
    int count = 0;
    const BeforeFree before_free = [&] { ++count; };
    buffer.reserve(100, before_free);
    buffer.reserve(50, before_free);
    CHECK(count == 0);
    buffer.reserve(200, before_free);
    CHECK(count == 1);
    const int64_t held = buffer.capacity();
    CHECK_THROWS_AS(buffer.reserve(held + 1, [] { throw RunError("not now"); }), RunError);
    CHECK(buffer.capacity() == held);
  };
  told(DeviceBuffer());
  told(PinnedBuffer());
}

TEST_CASE("out of GPU memory tells what is needed, free and there") {
  standin::reset(Order::lazy);
  const DeviceBuffer held(int64_t{3} << 30);
  CHECK_THROWS_WITH(DeviceBuffer(int64_t{6} << 30),
                    "out of GPU memory: 6.00 GiB are needed, 5.00 GiB of 8.00 GiB are free");
  CHECK(cudaGetLastError() == cudaSuccess);
}

TEST_CASE("a buffer that cannot be freed warns, and leaves no error for others to find") {
  standin::reset(Order::lazy);
  {
    const DeviceBuffer device(1);
    const PinnedBuffer pinned(1);
    standin::fail("cudaFree", cudaErrorUnknown);
    standin::fail("cudaFreeHost", cudaErrorUnknown);
  }
  CHECK(cudaGetLastError() == cudaSuccess);
  CHECK(alive_bytes() == 0);
}
