// SPDX-License-Identifier: Apache-2.0
// The runtime's calls about memory of other processes.
#include <cuda_runtime_api.h>
#include <unistd.h>

#include <cstring>

#include "tests/standin/state.hpp"

using namespace hashep::test::standin;

static_assert(sizeof(SharedBlock::Name) <= sizeof(cudaIpcMemHandle_t));

extern "C" {

cudaError_t cudaIpcGetMemHandle(cudaIpcMemHandle_t* handle, void* data) {
  return cuda_call("cudaIpcGetMemHandle", [&] {
    const SharedBlock::Name* name = state().memory.name(data);
    if (name == nullptr || state().nccl_memory.contains(data)) return cudaErrorInvalidValue;
    *handle = {};
    std::memcpy(handle, name, sizeof(*name));
    return cudaSuccess;
  });
}

cudaError_t cudaIpcOpenMemHandle(void** data, cudaIpcMemHandle_t handle, unsigned flags) {
  return cuda_call("cudaIpcOpenMemHandle", [&] {
    if (const cudaError_t code = refuse_in_capture(); code != cudaSuccess) return code;
    if (flags != cudaIpcMemLazyEnablePeerAccess) return cudaErrorInvalidValue;
    SharedBlock::Name name;
    std::memcpy(static_cast<void*>(&name), &handle, sizeof(name));
    if (name.process == getpid()) return cudaErrorDeviceUninitialized;
    *data = state().memory.open(name);
    return *data == nullptr ? cudaErrorMapBufferObjectFailed : cudaSuccess;
  });
}

// Waits for nothing: work on its way that comes to what is closed is shown so by a crash.
cudaError_t cudaIpcCloseMemHandle(void* data) {
  return cuda_release("cudaIpcCloseMemHandle", [&] {
    if (const cudaError_t code = refuse_in_capture(); code != cudaSuccess) return code;
    if (state().memory.times_open(data) == 1 && is_held(data, "cudaIpcCloseMemHandle")) {
      return cudaErrorInvalidValue;
    }
    return state().memory.close(data) ? cudaSuccess : cudaErrorInvalidValue;
  });
}

}  // extern "C"
