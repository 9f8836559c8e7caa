// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace hashep {

/// Whether this machine has a GPU that this build can use.
struct GpuSearch {
  int count = 0;
  std::string why_none;  // CUDA's own words, where count is 0
};
/// Asks CUDA for 32 hardware queues first, unless CUDA_DEVICE_MAX_CONNECTIONS says how many:
/// streams that share one wait for each other. So it comes before other calls of CUDA.
GpuSearch find_gpus();

/// What a GPU is.
struct GpuInfo {
  std::string name;
  int major = 0;  // compute capability
  int minor = 0;
  int multiprocessors = 0;
  int64_t memory_bytes = 0;
  int64_t l2_bytes = 0;

  /// "NVIDIA H100 80GB HBM3 (sm_90, 132 SMs), driver CUDA 13.0".
  std::string description;
};

/// Makes GPU `index` the calling thread's current one, and describes it.
GpuInfo use_gpu(int index);

/// The name of GPU `index`. Leaves the current GPU as it is.
std::string gpu_name(int index);

/// The calling thread's current GPU.
int current_gpu();

/// Of the current GPU.
int multiprocessors();
int compute_capability_major();

/// Where a GPU sits, by which processes that number the GPUs differently find the same one:
/// "0000:1b:00.0".
std::string pci_bus_id(int gpu);

/// Whether kernels on `gpu` reach memory of `other`, which may be the same.
bool can_access_peer(int gpu, int other);

}  // namespace hashep
