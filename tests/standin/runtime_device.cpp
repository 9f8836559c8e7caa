// SPDX-License-Identifier: Apache-2.0
// The runtime's calls about devices, versions and errors.
#include <cuda_runtime_api.h>

#include <cstdio>
#include <cstring>
#include <iterator>
#include <utility>

#include "tests/standin/state.hpp"

using namespace hashep::test::standin;

namespace {

constexpr int kMajor = 9;
constexpr int kMinor = 0;
constexpr int kMultiprocessors = 132;
constexpr int kL2Bytes = 50 << 20;
constexpr int kVersion = 13000;  // CUDA 13.0

struct ErrorText {
  cudaError_t code;
  const char* name;
  const char* text;
};

constexpr ErrorText kErrors[] = {
    {cudaSuccess, "cudaSuccess", "no error"},
    {cudaErrorInvalidValue, "cudaErrorInvalidValue", "invalid argument"},
    {cudaErrorMemoryAllocation, "cudaErrorMemoryAllocation", "out of memory"},
    {cudaErrorInvalidConfiguration, "cudaErrorInvalidConfiguration",
     "invalid configuration argument"},
    {cudaErrorNoDevice, "cudaErrorNoDevice", "no CUDA-capable device is detected"},
    {cudaErrorInvalidDevice, "cudaErrorInvalidDevice", "invalid device ordinal"},
    {cudaErrorDeviceUninitialized, "cudaErrorDeviceUninitialized", "invalid device context"},
    {cudaErrorMapBufferObjectFailed, "cudaErrorMapBufferObjectFailed",
     "mapping of buffer object failed"},
    {cudaErrorInsufficientDriver, "cudaErrorInsufficientDriver",
     "CUDA driver version is insufficient for CUDA runtime version"},
    {cudaErrorInvalidResourceHandle, "cudaErrorInvalidResourceHandle", "invalid resource handle"},
    {cudaErrorIllegalState, "cudaErrorIllegalState",
     "the operation cannot be performed in the present state"},
    {cudaErrorNotReady, "cudaErrorNotReady", "device not ready"},
    {cudaErrorIllegalAddress, "cudaErrorIllegalAddress",
     "an illegal memory access was encountered"},
    {cudaErrorLaunchFailure, "cudaErrorLaunchFailure", "unspecified launch failure"},
    {cudaErrorLaunchTimeout, "cudaErrorLaunchTimeout", "the launch timed out and was terminated"},
    {cudaErrorNotSupported, "cudaErrorNotSupported", "operation not supported"},
    {cudaErrorStreamCaptureUnsupported, "cudaErrorStreamCaptureUnsupported",
     "operation not permitted when stream is capturing"},
    {cudaErrorStreamCaptureInvalidated, "cudaErrorStreamCaptureInvalidated",
     "operation failed due to a previous error during capture"},
    {cudaErrorStreamCaptureMerge, "cudaErrorStreamCaptureMerge",
     "operation would result in a merge of separate capture sequences"},
    {cudaErrorStreamCaptureUnmatched, "cudaErrorStreamCaptureUnmatched",
     "capture was not ended in the same stream"},
    {cudaErrorStreamCaptureUnjoined, "cudaErrorStreamCaptureUnjoined",
     "capturing stream has unjoined work"},
    {cudaErrorStreamCaptureIsolation, "cudaErrorStreamCaptureIsolation",
     "dependency created on uncaptured work in another stream"},
    {cudaErrorCapturedEvent, "cudaErrorCapturedEvent",
     "operation not permitted on an event last recorded in a capturing stream"},
    {cudaErrorUnknown, "cudaErrorUnknown", "unknown error"},
};

const ErrorText& describe(cudaError_t code) {
  for (const ErrorText& error : kErrors) {
    if (error.code == code) return error;
  }
  return kErrors[std::size(kErrors) - 1];
}

}  // namespace

extern "C" {

cudaError_t cudaGetDeviceCount(int* count) {
  return cuda_call("cudaGetDeviceCount", [&] {
    *count = state().gpu_count;
    return cudaSuccess;
  });
}

cudaError_t cudaSetDevice(int device) {
  return cuda_call("cudaSetDevice", [&] {
    if (device < 0 || device >= state().gpu_count) return cudaErrorInvalidDevice;
    state().current_gpu = device;
    return cudaSuccess;
  });
}

cudaError_t cudaGetDevice(int* device) {
  return cuda_call("cudaGetDevice", [&] {
    *device = state().current_gpu;
    return cudaSuccess;
  });
}

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  return cuda_call("cudaGetDeviceProperties", [&] {
    if (device < 0 || device >= state().gpu_count) return cudaErrorInvalidDevice;
    *properties = {};
    std::strcpy(properties->name, "stand-in");
    properties->major = kMajor;
    properties->minor = kMinor;
    properties->multiProcessorCount = kMultiprocessors;
    properties->totalGlobalMem = size_t{Memory::kGpuBytes};
    properties->l2CacheSize = kL2Bytes;
    properties->warpSize = 32;
    properties->maxThreadsPerBlock = 1024;
    return cudaSuccess;
  });
}

// The stand-in's GPUs are the devices of bus 1b: 0000:1B:00.0, 0000:1B:01.0 and so on.
cudaError_t cudaDeviceGetPCIBusId(char* text, int size, int device) {
  return cuda_call("cudaDeviceGetPCIBusId", [&] {
    if (device < 0 || device >= state().gpu_count) return cudaErrorInvalidDevice;
    const int length = std::snprintf(text, static_cast<size_t>(size), "0000:1B:%02X.0", device);
    return length < size ? cudaSuccess : cudaErrorInvalidValue;
  });
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  return cuda_call("cudaDeviceGetAttribute", [&] {
    if (device < 0 || device >= state().gpu_count) return cudaErrorInvalidDevice;
    switch (attribute) {
      case cudaDevAttrComputeCapabilityMajor:
        *value = kMajor;
        return cudaSuccess;
      case cudaDevAttrComputeCapabilityMinor:
        *value = kMinor;
        return cudaSuccess;
      case cudaDevAttrMultiProcessorCount:
        *value = kMultiprocessors;
        return cudaSuccess;
      case cudaDevAttrL2CacheSize:
        *value = kL2Bytes;
        return cudaSuccess;
      default:
        return cudaErrorInvalidValue;
    }
  });
}

cudaError_t cudaDeviceCanAccessPeer(int* possible, int device, int peer) {
  return cuda_call("cudaDeviceCanAccessPeer", [&] {
    for (const int gpu : {device, peer}) {
      if (gpu < 0 || gpu >= state().gpu_count) return cudaErrorInvalidDevice;
    }
    *possible = state().peer_access && device != peer ? 1 : 0;
    return cudaSuccess;
  });
}

// The two versions can be asked for without a GPU.
cudaError_t cudaDriverGetVersion(int* version) {
  return cuda_release("cudaDriverGetVersion", [&] {
    *version = state().gpu_count == 0 ? 0 : kVersion;
    return cudaSuccess;
  });
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  return cuda_release("cudaRuntimeGetVersion", [&] {
    *version = kVersion;
    return cudaSuccess;
  });
}

cudaError_t cudaDeviceSynchronize() {
  return cuda_call("cudaDeviceSynchronize", [] {
    if (const cudaError_t code = refuse_in_capture(); code != cudaSuccess) return code;
    run_all();
    return state().work_error;
  });
}

const char* cudaGetErrorName(cudaError_t code) {
  return describe(code).name;
}

const char* cudaGetErrorString(cudaError_t code) {
  return describe(code).text;
}

cudaError_t cudaGetLastError() {
  return std::exchange(state().last_error, state().work_error);
}

cudaError_t cudaPeekAtLastError() {
  return state().last_error;
}

}  // extern "C"
