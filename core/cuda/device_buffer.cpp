// SPDX-License-Identifier: Apache-2.0
#include "core/cuda/device_buffer.hpp"

#include <string>
#include <utility>

#include "core/cuda/check_cuda.hpp"
#include "core/error.hpp"
#include "core/units.hpp"

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

}  // namespace

DeviceBuffer::DeviceBuffer(DeviceBuffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), capacity_(std::exchange(other.capacity_, 0)) {}

DeviceBuffer& DeviceBuffer::operator=(DeviceBuffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(capacity_, other.capacity_);
  return *this;
}

bool DeviceBuffer::reserve(int64_t bytes, const BeforeFree& before_free) {
  if (bytes <= capacity_) return false;
  if (data_ != nullptr && before_free) before_free();
  release();
  void* memory = nullptr;
  const cudaError_t code = cudaMalloc(&memory, static_cast<size_t>(bytes));
  if (code == cudaErrorMemoryAllocation) throw_out_of_memory(bytes);
  check_cuda(code, "cudaMalloc");
  data_ = static_cast<std::byte*>(memory);
  capacity_ = bytes;
  return true;
}

void DeviceBuffer::release() noexcept {
  if (data_ != nullptr) warn_cuda(cudaFree(data_), "cudaFree");
  data_ = nullptr;
  capacity_ = 0;
}

PinnedBuffer::PinnedBuffer(PinnedBuffer&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), capacity_(std::exchange(other.capacity_, 0)) {}

PinnedBuffer& PinnedBuffer::operator=(PinnedBuffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(capacity_, other.capacity_);
  return *this;
}

bool PinnedBuffer::reserve(int64_t bytes, const BeforeFree& before_free) {
  if (bytes <= capacity_) return false;
  if (data_ != nullptr && before_free) before_free();
  release();
  void* memory = nullptr;
  check_cuda(cudaHostAlloc(&memory, static_cast<size_t>(bytes), cudaHostAllocDefault),
             "cudaHostAlloc");
  data_ = static_cast<std::byte*>(memory);
  capacity_ = bytes;
  return true;
}

void PinnedBuffer::release() noexcept {
  if (data_ != nullptr) {
    // Unlike cudaFree, cudaFreeHost need not wait for copies on their way, and where an error is
    // thrown between a copy and what waits for it there are some.
    warn_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    warn_cuda(cudaFreeHost(data_), "cudaFreeHost");
  }
  data_ = nullptr;
  capacity_ = 0;
}

}  // namespace hashep
