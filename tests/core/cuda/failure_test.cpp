// SPDX-License-Identifier: Apache-2.0
// Every call that core/cuda makes fails once.
#include <cuda_runtime_api.h>

#include <map>
#include <set>
#include <string>

#include "core/cuda/check_cuda.hpp"
#include "core/cuda/device.hpp"
#include "core/cuda/device_buffer.hpp"
#include "core/cuda/graph.hpp"
#include "core/cuda/ipc.hpp"
#include "core/cuda/stream.hpp"
#include "hashep/error.hpp"
#include "tests/standin/standin.hpp"
#include "tests/support/catch.hpp"

using namespace hashep;
using namespace hashep::test;
using standin::Order;

namespace {

/// One of everything.
void use_all() {
  const GpuSearch search = find_gpus();
  if (search.count == 0) throw RunError("no GPU: " + search.why_none);
  use_gpu(0);
  pci_bus_id(current_gpu());
  can_access_peer(0, 1);
  DeviceBuffer gpu(64);
  const DeviceBuffer shared(kGpuPageBytes);
  export_memory(shared);
  PinnedBuffer pinned(64);
  const CudaStream stream;
  const CudaStream side;
  const CudaEvent begin(CudaEvent::Kind::timing);
  const CudaEvent end(CudaEvent::Kind::timing);
  const CudaEvent forked;
  const CudaEvent joined;
  gpu.reserve(128);
  pinned.reserve(128);
  const auto work = [&] {
    begin.record_in_graph(stream);
    forked.record(stream);
    side.wait(forked);
    copy_async(gpu.data(), pinned.data(), 64, side);
    joined.record(side);
    fill_async(gpu.data() + 64, 0, 64, stream);
    check_cuda(static_cast<cudaError_t>(standin::enqueue(stream, [] {})), "kernel");
    stream.wait(joined);
    end.record_in_graph(stream);
  };
  work();
  const CudaGraph graph(stream, work);
  graph.launch(stream);
  while (!end.is_done()) {
  }
  stream.synchronize();
  microseconds_between(begin, end);
}

/// Calls made on the way out alone: their failures are warnings.
const std::set<std::string> kReleases = {
    "cudaFree",         "cudaFreeHost",         "cudaStreamDestroy",     "cudaEventDestroy",
    "cudaGraphDestroy", "cudaGraphExecDestroy", "cudaDeviceSynchronize",
};

void check_nothing_left() {
  CHECK(standin::alive().device_bytes == 0);
  CHECK(standin::alive().pinned_bytes == 0);
  CHECK(standin::alive().objects == 0);
  CHECK(cudaGetLastError() == cudaSuccess);
}

}  // namespace

TEST_CASE("whichever call fails, the error names it, nothing leaks and no error stays") {
  for (const Order order : {Order::eager, Order::lazy}) {
    standin::reset(order);
    standin::set_gpu_count(2);
    use_all();
    check_nothing_left();
    std::map<std::string, int64_t> made;
    for (const std::string& name : standin::call_names()) made[name] = standin::calls(name);
    int64_t failed = 0;
    for (const auto& [name, count] : made) {
      for (int64_t n = 0; n < count; ++n) {
        INFO(name << " number " << n);
        standin::reset(order);
        standin::set_gpu_count(2);
        standin::fail(name, cudaErrorUnknown, n);
        if (kReleases.contains(name)) {
          CHECK_NOTHROW(use_all());
        } else if (name == "cudaGetDeviceCount") {
          CHECK_THROWS_WITH(use_all(), "no GPU: unknown error");
        } else {
          CHECK_THROWS_WITH(use_all(), ContainsSubstring(name + " failed with cudaErrorUnknown"));
        }
        check_nothing_left();
        ++failed;
      }
    }
    CHECK(failed > 40);
  }
}

TEST_CASE("an error tells call, code, CUDA's words and the place") {
  standin::reset(Order::eager);
  CHECK_NOTHROW(check_cuda(cudaSuccess, "cudaAnything"));
  const std::string line = std::to_string(__LINE__ + 1);
  CHECK_THROWS_WITH(check_cuda(cudaErrorInvalidValue, "cudaAnything"),
                    "cudaAnything failed with cudaErrorInvalidValue (1): invalid argument, at "
                    "failure_test.cpp:" +
                        line);
}

TEST_CASE("a machine tells what GPU it has, or why it has none") {
  standin::reset(Order::eager);
  standin::set_gpu_count(2);
  CHECK(find_gpus().count == 2);
  const GpuInfo gpu = use_gpu(1);
  CHECK(gpu.description == "stand-in (sm_90, 132 SMs), driver CUDA 13.0");
  CHECK(gpu.multiprocessors == 132);
  CHECK(gpu.memory_bytes == int64_t{8} << 30);
  CHECK(gpu.l2_bytes == 50 << 20);
  int current = 0;
  CHECK(cudaGetDevice(&current) == cudaSuccess);
  CHECK(current == 1);
  CHECK_THROWS_WITH(use_gpu(2), ContainsSubstring("cudaSetDevice failed with "
                                                  "cudaErrorInvalidDevice"));
  standin::set_gpu_count(0);
  CHECK(find_gpus().count == 0);
  CHECK(find_gpus().why_none == "no CUDA-capable device is detected");
  CHECK(cudaGetLastError() == cudaSuccess);
}
