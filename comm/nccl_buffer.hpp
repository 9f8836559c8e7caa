// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "comm/nccl_communicator.hpp"
#include "core/cuda/device_buffer.hpp"

namespace hashep {

/// Owns memory of the current GPU that NCCL has allocated and that is registered with a
/// communicator, so that messages need no copy through NCCL's own buffers. Used as DeviceBuffer is.
/// Both ends of a message must be of such memory, or neither.
class NcclBuffer {
 public:
  /// `nccl` must outlive it.
  explicit NcclBuffer(NcclCommunicator& nccl) : nccl_(nccl) {}
  /// Where NCCL has not come back from an abort the memory is left to it: the process is to end.
  ~NcclBuffer() { release(); }
  NcclBuffer(const NcclBuffer&) = delete;
  NcclBuffer& operator=(const NcclBuffer&) = delete;

  /// Makes room for `bytes`, with headroom once it has had to grow (grown_bytes); true where the
  /// memory is now another one, so that addresses taken before are void. Local. Throws RunError
  /// naming the size where it is not to be had.
  bool reserve(int64_t bytes, const BeforeFree& before_free = {});

  std::byte* data() const { return data_; }
  int64_t capacity() const { return capacity_; }  // bytes
  MatrixView matrix(DType dtype, int64_t rows, int64_t cols) const {
    return {data_, dtype, rows, cols};
  }

 private:
  void allocate(int64_t wanted, int64_t least);
  void release() noexcept;
  /// Whether the memory may be freed now.
  bool end_registration() noexcept;

  NcclCommunicator& nccl_;
  std::byte* data_ = nullptr;
  int64_t capacity_ = 0;
  void* registration_ = nullptr;  // null too where NCCL registers nothing
};

}  // namespace hashep
