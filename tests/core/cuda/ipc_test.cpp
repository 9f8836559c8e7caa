// SPDX-License-Identifier: Apache-2.0
#include "core/cuda/ipc.hpp"

#include <cuda_runtime_api.h>

#include <utility>

#include "core/cuda/device.hpp"
#include "hashep/error.hpp"
#include "tests/standin/other_process.hpp"
#include "tests/standin/standin.hpp"
#include "tests/support/catch.hpp"

using namespace hashep;
using namespace hashep::test;
using standin::Order;

namespace {

/// A process with two buffers that begin with 1 and 2; tells their handles, and ends when told.
void serve_two(Line& line) {
  standin::reset(Order::eager);
  const DeviceBuffer first(kGpuPageBytes);
  const DeviceBuffer second(3 * kGpuPageBytes);
  *first.as<int>() = 1;
  *second.as<int>() = 2;
  line.send(export_memory(first));
  line.send(export_memory(second));
  line.receive<int>();
  line.send(*first.as<int>());
}

int value(const IpcMapping& mapping) {
  return *reinterpret_cast<const int*>(mapping.data());
}

}  // namespace

TEST_CASE("a buffer of another process is mapped until its owner here goes") {
  standin::reset(Order::eager);
  OtherProcess process(serve_two);
  Line line = process.line();
  const auto first = line.receive<IpcHandle>();
  const auto second = line.receive<IpcHandle>();
  {
    IpcMapping a(first);
    CHECK(value(a) == 1);
    *reinterpret_cast<int*>(a.data()) = 7;
    IpcMapping b;
    CHECK(b.data() == nullptr);
    b = std::move(a);
    CHECK(a.data() == nullptr);  // NOLINT: what is left of it is of interest
    CHECK(value(b) == 7);
    const IpcMapping c = std::move(b);
    CHECK(value(c) == 7);
    IpcMapping d(second);
    CHECK(value(d) == 2);
    CHECK(standin::alive().objects == 2);
    d = IpcMapping();
    CHECK(standin::alive().objects == 1);
  }
  CHECK(standin::alive().objects == 0);
  line.send(0);
  CHECK(line.receive<int>() == 7);
  CHECK(process.wait());
}

TEST_CASE("memory that cannot be shared is an error that tells what can be done") {
  standin::reset(Order::eager);
  {
    for (const int64_t bytes : {int64_t{0}, kGpuPageBytes - 1, kGpuPageBytes + 1}) {
      const DeviceBuffer part(bytes);
      CHECK_THROWS_WITH(export_memory(part), "a GPU buffer of " + std::to_string(bytes) +
                                                 " bytes cannot be shared: it has to be of whole "
                                                 "pages of 2.00 MiB");
    }
    CHECK(standin::calls("cudaIpcGetMemHandle") == 0);
    const DeviceBuffer buffer(kGpuPageBytes);
    standin::fail("cudaIpcGetMemHandle", cudaErrorNotSupported);
    CHECK_THROWS_WITH(export_memory(buffer),
                      ContainsSubstring("cudaIpcGetMemHandle failed with cudaErrorNotSupported") &&
                          ContainsSubstring("use transport nccl"));
    const IpcHandle own = export_memory(buffer);
    CHECK_THROWS_WITH(IpcMapping(own), ContainsSubstring("cudaIpcOpenMemHandle failed with "
                                                         "cudaErrorDeviceUninitialized") &&
                                           ContainsSubstring("at ipc.cpp:") &&
                                           ContainsSubstring("use transport nccl"));
    CHECK(cudaGetLastError() == cudaSuccess);
  }
  CHECK(standin::alive().device_bytes == 0);
}

TEST_CASE("whatever fails on the way out of a mapping is a warning, and it is closed") {
  for (const char* call : {"cudaIpcCloseMemHandle", "cudaDeviceSynchronize"}) {
    standin::reset(Order::eager);
    OtherProcess process(serve_two);
    Line line = process.line();
    const auto handle = line.receive<IpcHandle>();
    line.receive<IpcHandle>();
    standin::fail("cudaIpcOpenMemHandle", cudaErrorUnknown);
    CHECK_THROWS_AS(IpcMapping(handle), RunError);
    standin::fail(call, cudaErrorUnknown);
    CHECK_NOTHROW(IpcMapping(handle));
    CHECK(standin::alive().objects == 0);
    CHECK(cudaGetLastError() == cudaSuccess);
    line.send(0);
    CHECK(line.receive<int>() == 1);
  }
}

TEST_CASE("a mapping outlives the work on it") {
  standin::reset(Order::lazy);
  OtherProcess process(serve_two);
  Line line = process.line();
  cudaStream_t stream = nullptr;
  REQUIRE(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking) == cudaSuccess);
  {
    const IpcMapping mapping(line.receive<IpcHandle>());
    REQUIRE(cudaMemsetAsync(mapping.data(), 0, sizeof(int), stream) == cudaSuccess);
  }
  line.send(0);
  line.receive<IpcHandle>();
  CHECK(line.receive<int>() == 0);
  CHECK(cudaStreamDestroy(stream) == cudaSuccess);
}

TEST_CASE("GPUs are known by their PCI address and reach themselves") {
  standin::reset(Order::eager);
  standin::set_gpu_count(2);
  CHECK(current_gpu() == 0);
  use_gpu(1);
  CHECK(current_gpu() == 1);
  CHECK(pci_bus_id(0) == "0000:1b:00.0");
  CHECK(pci_bus_id(1) == "0000:1b:01.0");
  CHECK_THROWS_WITH(pci_bus_id(2), ContainsSubstring("cudaDeviceGetPCIBusId failed with "
                                                     "cudaErrorInvalidDevice"));
  CHECK(can_access_peer(0, 1));
  CHECK(can_access_peer(1, 1));
  standin::set_peer_access(false);
  CHECK_FALSE(can_access_peer(0, 1));
  CHECK(can_access_peer(1, 1));
  CHECK_THROWS_AS(can_access_peer(0, 2), RunError);
}
