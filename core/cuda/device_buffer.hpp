// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>

#include "core/tensor_view.hpp"

namespace hashep {

/// A GPU's memory is handed out in pages of this size (bytes), which small allocations share.
inline constexpr int64_t kGpuPageBytes = int64_t{2} << 20;

/// `bytes` rounded up to whole pages.
constexpr int64_t whole_gpu_pages(int64_t bytes) {
  return (bytes + kGpuPageBytes - 1) / kGpuPageBytes * kGpuPageBytes;
}

/// Called before memory that was held is freed: freeing waits for the GPU, which has no deadline.
/// Where what the GPU was asked for may never end, this waits under one, or throws. May be empty.
using BeforeFree = std::function<void()>;

/// Owns uninitialised memory of the current GPU, aligned to 256 bytes. Like Buffer it grows only in
/// `reserve`, to exactly the size asked for, and never shrinks; growing drops the contents and
/// waits for the GPU (cudaFree), so it belongs ahead of a step.
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  explicit DeviceBuffer(int64_t bytes) { reserve(bytes); }
  ~DeviceBuffer() { release(); }
  DeviceBuffer(DeviceBuffer&& other) noexcept;
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept;

  /// Makes room for `bytes`; true where the memory is now another one, so that addresses taken
  /// before are void. Throws RunError naming the size where the GPU has not so much.
  bool reserve(int64_t bytes, const BeforeFree& before_free = {});

  std::byte* data() const { return data_; }
  int64_t capacity() const { return capacity_; }  // bytes

  /// The first rows * cols elements as a matrix in the GPU's memory.
  MatrixView matrix(DType dtype, int64_t rows, int64_t cols) const {
    return {data_, dtype, rows, cols};
  }
  template <typename T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }

 private:
  void release() noexcept;

  std::byte* data_ = nullptr;
  int64_t capacity_ = 0;
};

/// The same in page-locked host memory, which copies to and from the GPU read and write while the
/// host goes on.
class PinnedBuffer {
 public:
  PinnedBuffer() = default;
  explicit PinnedBuffer(int64_t bytes) { reserve(bytes); }
  ~PinnedBuffer() { release(); }
  PinnedBuffer(PinnedBuffer&& other) noexcept;
  PinnedBuffer& operator=(PinnedBuffer&& other) noexcept;

  /// As DeviceBuffer's: growing waits for the GPU.
  bool reserve(int64_t bytes, const BeforeFree& before_free = {});

  std::byte* data() const { return data_; }
  int64_t capacity() const { return capacity_; }  // bytes
  MatrixView matrix(DType dtype, int64_t rows, int64_t cols) const {
    return {data_, dtype, rows, cols};
  }

 private:
  void release() noexcept;

  std::byte* data_ = nullptr;
  int64_t capacity_ = 0;
};

}  // namespace hashep
