// SPDX-License-Identifier: Apache-2.0
// The stand-in's memory of other processes, through the calls of the runtime alone.
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "tests/standin/handles.hpp"
#include "tests/standin/other_process.hpp"

using namespace hashep;
using namespace hashep::test;
using standin::Order;

namespace {

constexpr size_t kBlock = size_t{2} << 20;  // what sizes are to be multiples of
constexpr size_t kBytes = 2 * kBlock;

/// A process that has kBytes of GPU memory, byte i being i modulo 251, and tells its handle; at
/// each 0 it is sent it tells byte 7; at 1 it frees the memory, then tells how often mapped memory
/// was freed; then it ends.
void serve(Line& line) {
  standin::reset(Order::eager);
  void* memory = nullptr;
  cudaIpcMemHandle_t handle{};
  if (cudaMalloc(&memory, kBytes) != cudaSuccess ||
      cudaIpcGetMemHandle(&handle, memory) != cudaSuccess) {
    throw std::runtime_error("no memory to share");
  }
  auto* bytes = static_cast<unsigned char*>(memory);
  for (size_t i = 0; i < kBytes; ++i) bytes[i] = static_cast<unsigned char>(i % 251);
  line.send(handle);
  while (line.receive<int>() == 0) line.send(int{bytes[7]});
  cudaFree(memory);
  line.send(standin::freed_while_mapped());
}

cudaError_t open(void** memory, const cudaIpcMemHandle_t& handle) {
  return cudaIpcOpenMemHandle(memory, handle, cudaIpcMemLazyEnablePeerAccess);
}

}  // namespace

TEST_CASE("two processes read and write the same memory") {
  standin::reset(Order::eager);
  OtherProcess process(serve);
  Line line = process.line();
  const auto handle = line.receive<cudaIpcMemHandle_t>();
  void* memory = nullptr;
  REQUIRE(open(&memory, handle) == cudaSuccess);
  auto* bytes = static_cast<unsigned char*>(memory);
  int64_t wrong = 0;
  for (size_t i = 0; i < kBytes; ++i) wrong += bytes[i] != i % 251;
  CHECK(wrong == 0);
  {
    Handles handles;
    const cudaStream_t stream = handles.stream();
    CHECK(cudaMemsetAsync(bytes + 7, 99, 1, stream) == cudaSuccess);
    CHECK(cudaMemsetAsync(bytes + kBytes - 1, 0, 2, stream) == cudaErrorInvalidValue);
    const auto own = handles.gpu<unsigned char>(kBytes);
    CHECK(cudaMemcpyAsync(own.data(), bytes, kBytes, cudaMemcpyDeviceToDevice, stream) ==
          cudaSuccess);
    CHECK(cudaStreamSynchronize(stream) == cudaSuccess);
    CHECK(own[7] == 99);
  }
  line.send(0);
  CHECK(line.receive<int>() == 99);
  CHECK(standin::alive().device_bytes == 0);
  CHECK(standin::alive().objects == 1);
  CHECK(cudaFree(memory) == cudaErrorInvalidValue);
  CHECK(cudaIpcGetMemHandle(nullptr, memory) == cudaErrorInvalidValue);
  CHECK(cudaIpcCloseMemHandle(bytes + 1) == cudaErrorInvalidValue);
  void* again = nullptr;
  CHECK(open(&again, handle) == cudaSuccess);
  CHECK(again == memory);
  CHECK(cudaIpcCloseMemHandle(memory) == cudaSuccess);
  CHECK(standin::alive().objects == 1);
  CHECK(bytes[7] == 99);
  CHECK(cudaIpcCloseMemHandle(memory) == cudaSuccess);
  CHECK(standin::alive().objects == 0);
  CHECK(cudaIpcCloseMemHandle(memory) == cudaErrorInvalidValue);
  line.send(1);
  CHECK(line.receive<int64_t>() == 0);
  CHECK(process.wait());
}

TEST_CASE("memory that is freed while it is mapped is counted there and full of 0xff here") {
  standin::reset(Order::eager);
  OtherProcess process(serve);
  Line line = process.line();
  const auto handle = line.receive<cudaIpcMemHandle_t>();
  void* memory = nullptr;
  REQUIRE(open(&memory, handle) == cudaSuccess);
  line.send(1);
  CHECK(line.receive<int64_t>() == 1);
  CHECK(process.wait());
  CHECK(static_cast<unsigned char*>(memory)[7] == 0xff);
  CHECK(cudaIpcCloseMemHandle(memory) == cudaSuccess);
  CHECK(open(&memory, handle) == cudaErrorMapBufferObjectFailed);
  CHECK(memory == nullptr);
}

TEST_CASE("a mapping that is left is told by the next reset") {
  standin::reset(Order::eager);
  OtherProcess process(serve);
  Line line = process.line();
  void* memory = nullptr;
  REQUIRE(open(&memory, line.receive<cudaIpcMemHandle_t>()) == cudaSuccess);
  CHECK_THROWS_WITH(standin::reset(Order::eager), ContainsSubstring("1 streams, events"));
  line.send(1);
  CHECK(line.receive<int64_t>() == 0);  // the reset has closed it
}

TEST_CASE("what cannot be shared is refused") {
  standin::reset(Order::eager);
  Handles handles;
  const auto large = handles.gpu<std::byte>(kBytes);
  const auto pinned = handles.pinned<std::byte>(kBytes);
  cudaIpcMemHandle_t handle{};
  // Memory with neighbours in its first or last block.
  for (const size_t bytes :
       {size_t{256}, kBlock - 1, kBlock + 1, kBlock + 256, kBytes + kBlock / 2}) {
    CAPTURE(bytes);
    const auto part = handles.gpu<std::byte>(bytes);
    CHECK(cudaIpcGetMemHandle(&handle, part.data()) == cudaErrorInvalidValue);
  }
  CHECK(cudaIpcGetMemHandle(&handle, pinned.data()) == cudaErrorInvalidValue);
  CHECK(cudaIpcGetMemHandle(&handle, large.data() + 1) == cudaErrorInvalidValue);
  CHECK(cudaIpcGetMemHandle(&handle, large.data()) == cudaSuccess);
  void* memory = nullptr;
  CHECK(open(&memory, handle) == cudaErrorDeviceUninitialized);  // one's own
  CHECK(cudaIpcOpenMemHandle(&memory, handle, 0) == cudaErrorInvalidValue);
  CHECK(cudaIpcCloseMemHandle(large.data()) == cudaErrorInvalidValue);
  CHECK(open(&memory, {}) == cudaErrorMapBufferObjectFailed);
}

TEST_CASE("a handle does not stand for what its owner made later") {
  standin::reset(Order::eager);
  OtherProcess process([](Line& line) {
    standin::reset(Order::eager);
    for (int i = 0; i < 2; ++i) {
      void* memory = nullptr;
      cudaIpcMemHandle_t handle{};
      if (cudaMalloc(&memory, kBytes) != cudaSuccess) throw std::runtime_error("no memory");
      cudaIpcGetMemHandle(&handle, memory);
      line.send(handle);
      line.receive<int>();
      cudaFree(memory);
    }
  });
  Line line = process.line();
  const auto old = line.receive<cudaIpcMemHandle_t>();
  line.send(0);
  const auto handle = line.receive<cudaIpcMemHandle_t>();
  void* memory = nullptr;
  CHECK(open(&memory, old) == cudaErrorMapBufferObjectFailed);
  CHECK(open(&memory, handle) == cudaSuccess);
  CHECK(cudaIpcCloseMemHandle(memory) == cudaSuccess);
  line.send(0);
  CHECK(process.wait());
}

TEST_CASE("no memory lies before or after what can be shared") {
  standin::reset(Order::eager);
  Handles handles;
  const auto memory = handles.gpu<std::byte>(kBytes);
  int ends[2];
  REQUIRE(pipe(ends) == 0);
  const auto can_be_read = [&](const std::byte* byte) {
    const ssize_t written = write(ends[1], byte, 1);
    if (written < 0) CHECK(errno == EFAULT);
    return written == 1;
  };
  CHECK(can_be_read(memory.data()));
  CHECK(can_be_read(memory.data() + kBytes - 1));
  CHECK_FALSE(can_be_read(memory.data() - 1));
  CHECK_FALSE(can_be_read(memory.data() + kBytes));
  close(ends[0]);
  close(ends[1]);
}

TEST_CASE("memory that can be shared is as other memory is") {
  standin::reset(Order::lazy);
  void* memory = nullptr;
  REQUIRE(cudaMalloc(&memory, kBytes) == cudaSuccess);
  auto* bytes = static_cast<unsigned char*>(memory);
  CHECK(reinterpret_cast<uintptr_t>(memory) % 256 == 0);
  CHECK(std::all_of(bytes, bytes + kBytes, [](unsigned char byte) { return byte == 0xff; }));
  CHECK(standin::alive().device_bytes == static_cast<int64_t>(kBytes));
  CHECK(cudaFree(bytes + 4096) == cudaErrorInvalidValue);
  CHECK(cudaFree(memory) == cudaSuccess);
  CHECK(cudaFree(memory) == cudaErrorInvalidValue);
  CHECK(standin::alive().device_bytes == 0);
}

TEST_CASE("GPUs have an address each and may reach each other") {
  standin::reset(Order::eager);
  standin::set_gpu_count(2);
  char first[13];
  char second[13];
  REQUIRE(cudaDeviceGetPCIBusId(first, 13, 0) == cudaSuccess);
  REQUIRE(cudaDeviceGetPCIBusId(second, 13, 1) == cudaSuccess);
  CHECK(std::string(first) == "0000:1B:00.0");
  CHECK(std::string(second) == "0000:1B:01.0");
  CHECK(cudaDeviceGetPCIBusId(first, 12, 0) == cudaErrorInvalidValue);
  CHECK(cudaDeviceGetPCIBusId(first, 13, 2) == cudaErrorInvalidDevice);
  int possible = -1;
  CHECK(cudaDeviceCanAccessPeer(&possible, 0, 1) == cudaSuccess);
  CHECK(possible == 1);
  CHECK(cudaDeviceCanAccessPeer(&possible, 1, 1) == cudaSuccess);
  CHECK(possible == 0);
  standin::set_peer_access(false);
  CHECK(cudaDeviceCanAccessPeer(&possible, 0, 1) == cudaSuccess);
  CHECK(possible == 0);
  CHECK(cudaDeviceCanAccessPeer(&possible, 0, 2) == cudaErrorInvalidDevice);
}
