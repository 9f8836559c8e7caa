// SPDX-License-Identifier: Apache-2.0
// The stand-in's memory and copies, through the calls of the runtime alone.
#include <cstring>

#include "hashep/error.hpp"
#include "tests/standin/handles.hpp"

using namespace hashep;
using namespace hashep::test;
using standin::Order;

namespace {

cudaError_t ask_copy(std::span<int> to, std::span<const int> from, cudaStream_t stream) {
  return cudaMemcpyAsync(to.data(), from.data(), from.size_bytes(), cudaMemcpyDefault, stream);
}

}  // namespace

TEST_CASE("memory is aligned, full of NaNs, counted and given back once") {
  standin::reset(Order::eager);
  void* data = nullptr;
  REQUIRE(cudaMalloc(&data, 100) == cudaSuccess);
  CHECK(reinterpret_cast<uintptr_t>(data) % 256 == 0);
  const auto* bytes = static_cast<unsigned char*>(data);
  CHECK(std::all_of(bytes, bytes + 100, [](unsigned char byte) { return byte == 0xff; }));
  CHECK(standin::alive().device_bytes == 100);
  CHECK(standin::alive().pinned_bytes == 0);
  size_t free = 0;
  size_t total = 0;
  CHECK(cudaMemGetInfo(&free, &total) == cudaSuccess);
  CHECK(total - free == 100);
  CHECK(cudaFreeHost(data) == cudaErrorInvalidValue);  // that is not where it came from
  CHECK(cudaFree(static_cast<std::byte*>(data) + 1) == cudaErrorInvalidValue);
  CHECK(cudaFree(data) == cudaSuccess);
  CHECK(cudaFree(data) == cudaErrorInvalidValue);
  CHECK(cudaFree(nullptr) == cudaSuccess);
  CHECK(standin::alive().device_bytes == 0);
  CHECK(cudaMalloc(&data, free + 101) == cudaErrorMemoryAllocation);
  CHECK(data == nullptr);
}

TEST_CASE("copies between pinned and GPU memory read when they are done") {
  standin::reset(Order::lazy);
  Handles handles;
  const auto stream = handles.stream();
  const auto gpu = handles.gpu<int>(4);
  const auto pinned = handles.pinned<int>(4);
  CHECK(pinned[0] == -1);  // poisoned too
  std::ranges::fill(pinned, 1);
  REQUIRE(ask_copy(gpu, pinned, stream) == cudaSuccess);
  pinned[1] = 2;
  CHECK(gpu[0] == -1);
  REQUIRE(cudaStreamSynchronize(stream) == cudaSuccess);
  CHECK(std::vector<int>(gpu.begin(), gpu.end()) == std::vector<int>{1, 2, 1, 1});
  REQUIRE(cudaMemsetAsync(gpu.data(), 0, sizeof(int), stream) == cudaSuccess);
  REQUIRE(ask_copy(pinned, gpu, stream) == cudaSuccess);
  REQUIRE(cudaStreamSynchronize(stream) == cudaSuccess);
  CHECK(std::vector<int>(pinned.begin(), pinned.end()) == std::vector<int>{0, 2, 1, 1});
}

TEST_CASE("copies from pageable memory read at the call, copies to it are refused") {
  standin::reset(Order::lazy);
  Handles handles;
  const auto stream = handles.stream();
  const auto gpu = handles.gpu<int>(2);
  std::vector<int> pageable = {1, 2};
  REQUIRE(ask_copy(gpu, pageable, stream) == cudaSuccess);
  pageable = {3, 4};
  REQUIRE(cudaStreamSynchronize(stream) == cudaSuccess);
  CHECK(gpu[0] == 1);
  CHECK(gpu[1] == 2);
  CHECK(ask_copy(pageable, gpu, stream) == cudaErrorInvalidValue);
  CHECK(pageable[0] == 3);
}

TEST_CASE("copies outside of an allocation, over themselves or of another kind are refused") {
  standin::reset(Order::eager);
  Handles handles;
  const auto stream = handles.stream();
  const auto gpu = handles.gpu<int>(4);
  const auto pinned = handles.pinned<int>(8);
  CHECK(ask_copy(gpu, pinned.first(5), stream) == cudaErrorInvalidValue);
  CHECK(ask_copy(pinned, std::span(gpu.data() + 2, 3), stream) == cudaErrorInvalidValue);
  CHECK(ask_copy(pinned, std::span(gpu.data() - 1, 2), stream) == cudaErrorInvalidValue);
  CHECK(ask_copy(gpu.subspan(1), gpu.first(2), stream) == cudaErrorInvalidValue);
  CHECK(ask_copy(gpu.subspan(2), gpu.first(2), stream) == cudaSuccess);
  CHECK(cudaMemsetAsync(gpu.data() + 3, 0, 5, stream) == cudaErrorInvalidValue);
  CHECK(cudaMemsetAsync(pinned.data(), 0, 4, stream) == cudaErrorInvalidValue);
  CHECK(cudaMemcpyAsync(gpu.data(), pinned.data(), 4, cudaMemcpyDeviceToHost, stream) ==
        cudaErrorInvalidValue);
  CHECK(cudaMemcpyAsync(gpu.data(), pinned.data(), 4, cudaMemcpyHostToDevice, stream) ==
        cudaSuccess);
}

TEST_CASE("freeing GPU memory waits for all that was asked for") {
  standin::reset(Order::lazy);
  Handles handles;
  std::string word;
  write(handles.stream(), word, 'a');
  write(handles.stream(), word, 'b');
  void* data = nullptr;
  REQUIRE(cudaMalloc(&data, 1) == cudaSuccess);
  CHECK(word.empty());
  REQUIRE(cudaFree(data) == cudaSuccess);
  CHECK(word == "ab");
}

TEST_CASE("what a test leaves behind is told by the next reset, once") {
  standin::reset(Order::eager);
  void* data = nullptr;
  REQUIRE(cudaMalloc(&data, 3) == cudaSuccess);
  cudaEvent_t event = nullptr;
  REQUIRE(cudaEventCreateWithFlags(&event, cudaEventDefault) == cudaSuccess);
  CHECK_THROWS_WITH(standin::reset(Order::eager),
                    ContainsSubstring("left with 3 bytes of GPU memory") &&
                        ContainsSubstring("1 streams, events"));
  CHECK_NOTHROW(standin::reset(Order::eager));
}

TEST_CASE("what gives back does so where it is to fail, what makes does not make") {
  standin::reset(Order::eager);
  void* data = nullptr;
  REQUIRE(cudaMalloc(&data, 3) == cudaSuccess);
  standin::fail("cudaFree", cudaErrorUnknown);
  CHECK(cudaFree(data) == cudaErrorUnknown);
  CHECK(standin::alive().device_bytes == 0);
  standin::fail("cudaHostAlloc", cudaErrorMemoryAllocation);
  CHECK(cudaHostAlloc(&data, 3, cudaHostAllocDefault) == cudaErrorMemoryAllocation);
  CHECK(standin::alive().pinned_bytes == 0);
}
