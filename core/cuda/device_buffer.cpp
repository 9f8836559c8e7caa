// SPDX-License-Identifier: Apache-2.0
#include "core/cuda/device_buffer.hpp"

#include <string>
#include <utility>

#include "core/cuda/check_cuda.hpp"
#include "core/units.hpp"
#include "hashep/error.hpp"

namespace hashep {
namespace {

[[noreturn]] void throw_out_of_memory(int64_t bytes) {
  cudaGetLastError();  // it is reported here
  size_t free = 0;
  size_t total = 0;
  check_cuda(cudaMemGetInfo(&free, &total), "cudaMemGetInfo");
  throw RunError("out of GPU memory: " + format_bytes(bytes) + " are needed, " +
                 format_bytes(static_cast<int64_t>(free)) + " of " +
                 format_bytes(static_cast<int64_t>(total)) + " are free");
}

cudaError_t call_allocate(CudaMemory kind, void** memory, int64_t bytes) {
  const auto size = static_cast<size_t>(bytes);
  if (kind == CudaMemory::gpu) return cudaMalloc(memory, size);
  return cudaHostAlloc(memory, size, cudaHostAllocDefault);
}

}  // namespace

template <CudaMemory kKind>
CudaBuffer<kKind>::CudaBuffer(CudaBuffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), capacity_(std::exchange(other.capacity_, 0)) {}

template <CudaMemory kKind>
CudaBuffer<kKind>& CudaBuffer<kKind>::operator=(CudaBuffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(capacity_, other.capacity_);
  return *this;
}

template <CudaMemory kKind>
bool CudaBuffer<kKind>::reserve(int64_t bytes, const BeforeFree& before_free) {
  if (bytes <= capacity_) return false;
  if (data_ != nullptr) return grow(bytes, before_free);
  allocate(bytes, bytes);
  return true;
}

template <CudaMemory kKind>
bool CudaBuffer<kKind>::grow(int64_t bytes, const BeforeFree& before_free) {
  const int64_t wanted = grown_bytes(bytes);
  if (wanted <= capacity_) return false;
  if (data_ != nullptr && before_free) before_free();
  release();
  allocate(wanted, whole_gpu_pages(bytes));
  return true;
}

template <CudaMemory kKind>
void CudaBuffer<kKind>::allocate(int64_t wanted, int64_t least) {
  void* memory = nullptr;
  cudaError_t code = call_allocate(kKind, &memory, wanted);
  if (code == cudaErrorMemoryAllocation && least < wanted) {
    cudaGetLastError();  // headroom is not worth an error
    wanted = least;
    code = call_allocate(kKind, &memory, wanted);
  }
  if (kKind == CudaMemory::gpu && code == cudaErrorMemoryAllocation) throw_out_of_memory(wanted);
  check_cuda(code, kKind == CudaMemory::gpu ? "cudaMalloc" : "cudaHostAlloc");
  data_ = static_cast<std::byte*>(memory);
  capacity_ = wanted;
}

template <CudaMemory kKind>
void CudaBuffer<kKind>::release() noexcept {
  if (data_ != nullptr && kKind == CudaMemory::gpu) {
    warn_cuda(cudaFree(data_), "cudaFree");
  } else if (data_ != nullptr) {
    // Unlike cudaFree, cudaFreeHost need not wait for copies on their way, and where an error is
    // thrown between a copy and what waits for it there are some.
    warn_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    warn_cuda(cudaFreeHost(data_), "cudaFreeHost");
  }
  data_ = nullptr;
  capacity_ = 0;
}

template class CudaBuffer<CudaMemory::gpu>;
template class CudaBuffer<CudaMemory::pinned>;

}  // namespace hashep
