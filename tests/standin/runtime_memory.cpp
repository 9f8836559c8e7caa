// SPDX-License-Identifier: Apache-2.0
// The runtime's calls about memory, and copies.
#include <cuda_runtime_api.h>

#include <cstring>
#include <vector>

#include "tests/standin/state.hpp"

using namespace hashep::test::standin;

namespace {

cudaError_t allocate(void** data, size_t bytes, Place place) {
  if (const cudaError_t code = refuse_in_capture(); code != cudaSuccess) return code;
  *data = nullptr;
  if (bytes == 0) return cudaSuccess;
  if (bytes > size_t{Memory::kGpuBytes}) return cudaErrorMemoryAllocation;
  *data = state().memory.allocate(static_cast<int64_t>(bytes), place);
  return *data == nullptr ? cudaErrorMemoryAllocation : cudaSuccess;
}

bool is_kind(Place from, Place to, cudaMemcpyKind kind) {
  switch (kind) {
    case cudaMemcpyDefault:
      return true;
    case cudaMemcpyHostToDevice:
      return from != Place::gpu && to == Place::gpu;
    case cudaMemcpyDeviceToHost:
      return from == Place::gpu && to != Place::gpu;
    case cudaMemcpyDeviceToDevice:
      return from == Place::gpu && to == Place::gpu;
    case cudaMemcpyHostToHost:
      return from != Place::gpu && to != Place::gpu;
  }
  return false;
}

}  // namespace

extern "C" {

cudaError_t cudaMalloc(void** data, size_t bytes) {
  return cuda_call("cudaMalloc", [&] { return allocate(data, bytes, Place::gpu); });
}

cudaError_t cudaFree(void* data) {
  return cuda_release("cudaFree", [&] {
    if (data == nullptr) return cudaSuccess;
    if (const cudaError_t code = refuse_in_capture(); code != cudaSuccess) return code;
    run_all();
    if (state().nccl_memory.contains(data)) return cudaErrorInvalidValue;
    if (is_held(data, "cudaFree")) return cudaErrorInvalidValue;
    return state().memory.free(data, Place::gpu) ? cudaSuccess : cudaErrorInvalidValue;
  });
}

cudaError_t cudaMemGetInfo(size_t* free, size_t* total) {
  return cuda_call("cudaMemGetInfo", [&] {
    *total = size_t{Memory::kGpuBytes};
    *free = *total - static_cast<size_t>(state().memory.allocated(Place::gpu));
    return cudaSuccess;
  });
}

cudaError_t cudaHostAlloc(void** data, size_t bytes, unsigned flags) {
  return cuda_call("cudaHostAlloc", [&] {
    if (flags != cudaHostAllocDefault) return cudaErrorNotSupported;
    return allocate(data, bytes, Place::pinned);
  });
}

// Waits for nothing: who frees memory that a queued copy reads or writes is shown so by
// AddressSanitizer.
cudaError_t cudaFreeHost(void* data) {
  return cuda_release("cudaFreeHost", [&] {
    if (data == nullptr) return cudaSuccess;
    if (const cudaError_t code = refuse_in_capture(); code != cudaSuccess) return code;
    if (is_held(data, "cudaFreeHost")) return cudaErrorInvalidValue;
    return state().memory.free(data, Place::pinned) ? cudaSuccess : cudaErrorInvalidValue;
  });
}

// A copy to pageable memory is refused: the real one waits until it is done. One from pageable
// memory reads at once; in a graph it would read again at each replay, so that is refused.
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  return cuda_call("cudaMemcpyAsync", [&] {
    if (bytes == 0) return cudaSuccess;
    const auto size = static_cast<int64_t>(bytes);
    const Place source = state().memory.place(from, size);
    const Place target = state().memory.place(to, size);
    if (source == Place::broken || target == Place::broken || target == Place::pageable ||
        !is_kind(source, target, kind) || overlap({from, size}, {to, size})) {
      return cudaErrorInvalidValue;
    }
    if (source == Place::pageable) {
      const CUstream_st* found = state().streams.find(stream);
      if (found != nullptr && found->capture != nullptr) return cudaErrorInvalidValue;
      const auto* begin = static_cast<const std::byte*>(from);
      return ask_copy(stream, [to, copy = std::vector<std::byte>(begin, begin + bytes)] {
        std::memcpy(to, copy.data(), copy.size());
      });
    }
    return ask_copy(stream, [=] { std::memcpy(to, from, bytes); }, {{from, size}, {to, size}});
  });
}

cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t stream) {
  return cuda_call("cudaMemsetAsync", [&] {
    if (bytes == 0) return cudaSuccess;
    const auto size = static_cast<int64_t>(bytes);
    if (!state().memory.is_gpu(to, size)) return cudaErrorInvalidValue;
    return ask(stream, [=] { std::memset(to, value, bytes); }, nullptr, {{to, size}});
  });
}

}  // extern "C"
