// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/before_free.hpp"
#include "hashep/tensor_view.hpp"

namespace hashep {

/// A GPU's memory is handed out in pages of this size (bytes), which small allocations share.
inline constexpr int64_t kGpuPageBytes = int64_t{2} << 20;

/// `bytes` rounded up to whole pages.
constexpr int64_t whole_gpu_pages(int64_t bytes) {
  return (bytes + kGpuPageBytes - 1) / kGpuPageBytes * kGpuPageBytes;
}

/// What a buffer that is too small for `bytes` grows to: an eighth more, in whole pages. Who asks
/// for more once is likely to ask for a little more again, and growing takes long and voids graphs.
constexpr int64_t grown_bytes(int64_t bytes) {
  return whole_gpu_pages(bytes + bytes / 8);
}

enum class CudaMemory {
  gpu,    // of the GPU that is current
  pinned  // page-locked host memory, which copies read and write while the host goes on
};

/// Owns uninitialised memory, aligned to 256 bytes. It grows only in `reserve` and `grow`, and
/// never shrinks: at first it holds exactly what was asked for, and some more once it has had to
/// grow. Growing drops the contents and waits for the GPU, so it belongs ahead of a step.
template <CudaMemory kKind>
class CudaBuffer {
 public:
  CudaBuffer() = default;
  explicit CudaBuffer(int64_t bytes) { reserve(bytes); }
  ~CudaBuffer() { release(); }
  CudaBuffer(CudaBuffer&& other) noexcept;
  CudaBuffer& operator=(CudaBuffer&& other) noexcept;

  /// Makes room for `bytes`; true where the memory is now another one, so that addresses taken
  /// before are void. Throws RunError, of a GPU naming the size, where there is not so much.
  bool reserve(int64_t bytes, const BeforeFree& before_free = {});

  /// Makes room for grown_bytes(bytes), or for `bytes` in whole pages where there is not so much.
  /// As `reserve`.
  bool grow(int64_t bytes, const BeforeFree& before_free = {});

  std::byte* data() const { return data_; }
  int64_t capacity() const { return capacity_; }  // bytes

  /// The first rows * cols elements as a matrix.
  MatrixView matrix(DType dtype, int64_t rows, int64_t cols) const {
    return {data_, dtype, rows, cols};
  }
  template <typename T>
  T* as() const {
    return reinterpret_cast<T*>(data_);
  }

 private:
  void allocate(int64_t wanted, int64_t least);
  void release() noexcept;

  std::byte* data_ = nullptr;
  int64_t capacity_ = 0;
};

using DeviceBuffer = CudaBuffer<CudaMemory::gpu>;
using PinnedBuffer = CudaBuffer<CudaMemory::pinned>;

extern template class CudaBuffer<CudaMemory::gpu>;
extern template class CudaBuffer<CudaMemory::pinned>;

}  // namespace hashep
