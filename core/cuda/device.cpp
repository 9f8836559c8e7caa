// SPDX-License-Identifier: Apache-2.0
#include "core/cuda/device.hpp"

#include <array>
#include <cstdlib>

#include "core/cuda/check_cuda.hpp"
#include "hashep/error.hpp"

namespace hashep {
namespace {

constexpr const char* kHardwareQueues = "32";  // the most there are; CUDA's default is 8

int attribute_of_current(cudaDeviceAttr attribute) {
  int value = 0;
  check_cuda(cudaDeviceGetAttribute(&value, attribute, current_gpu()), "cudaDeviceGetAttribute");
  return value;
}

std::string version_text(int version) {  // 1000 * major + 10 * minor
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

}  // namespace

GpuSearch find_gpus() {
  if (setenv("CUDA_DEVICE_MAX_CONNECTIONS", kHardwareQueues, 0) != 0) {
    throw RunError("setenv CUDA_DEVICE_MAX_CONNECTIONS failed");
  }
  GpuSearch search;
  const cudaError_t code = cudaGetDeviceCount(&search.count);
  if (code != cudaSuccess) {
    cudaGetLastError();
    search.count = 0;
    search.why_none = cudaGetErrorString(code);
  } else if (search.count == 0) {
    search.why_none = "the driver shows no GPU";
  }
  return search;
}

GpuInfo use_gpu(int index) {
  check_cuda(cudaSetDevice(index), "cudaSetDevice");
  cudaDeviceProp properties{};
  check_cuda(cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties");
  int driver = 0;
  check_cuda(cudaDriverGetVersion(&driver), "cudaDriverGetVersion");
  GpuInfo info{.name = properties.name,
               .major = properties.major,
               .minor = properties.minor,
               .multiprocessors = properties.multiProcessorCount,
               .memory_bytes = static_cast<int64_t>(properties.totalGlobalMem),
               .l2_bytes = properties.l2CacheSize,
               .description = {}};
  info.description = info.name + " (sm_" + std::to_string(info.major) + std::to_string(info.minor) +
                     ", " + std::to_string(info.multiprocessors) + " SMs), driver CUDA " +
                     version_text(driver);
  return info;
}

std::string gpu_name(int index) {
  cudaDeviceProp properties{};
  check_cuda(cudaGetDeviceProperties(&properties, index), "cudaGetDeviceProperties");
  return properties.name;
}

int current_gpu() {
  int index = 0;
  check_cuda(cudaGetDevice(&index), "cudaGetDevice");
  return index;
}

int multiprocessors() {
  return attribute_of_current(cudaDevAttrMultiProcessorCount);
}

int compute_capability_major() {
  return attribute_of_current(cudaDevAttrComputeCapabilityMajor);
}

std::string pci_bus_id(int gpu) {
  std::array<char, 32> id{};  // CUDA asks for 13
  check_cuda(cudaDeviceGetPCIBusId(id.data(), static_cast<int>(id.size()), gpu),
             "cudaDeviceGetPCIBusId");
  std::string text = id.data();
  for (char& c : text) {  // CUDA writes digits above 9 in capitals, Linux and hwloc do not
    if (c >= 'A' && c <= 'F') c = static_cast<char>(c - 'A' + 'a');
  }
  return text;
}

bool can_access_peer(int gpu, int other) {
  if (gpu == other) return true;
  int possible = 0;
  check_cuda(cudaDeviceCanAccessPeer(&possible, gpu, other), "cudaDeviceCanAccessPeer");
  return possible != 0;
}

}  // namespace hashep
