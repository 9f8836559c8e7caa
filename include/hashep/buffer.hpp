// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>

#include "hashep/tensor_view.hpp"

namespace hashep {

/// Owns uninitialised host memory aligned to a cache line. Grows only in `reserve`, to exactly the
/// size asked for, and never shrinks; growing drops the contents. Large buffers are mapped, so that
/// what is dropped goes back to the system at once: freed to a heap, blocks of many sizes would
/// leave holes, and a process held twice the memory it uses.
class Buffer {
 public:
  static constexpr size_t kAlignment = 64;  ///< bytes: a cache line, and the widest vector register

  /// Holds nothing.
  Buffer() = default;
  /// Holds so many bytes. Throws std::bad_alloc.
  explicit Buffer(int64_t bytes) { reserve(bytes); }
  ~Buffer() { release(); }
  /// The other one then holds nothing.
  Buffer(Buffer&& other) noexcept;
  /// The other one then holds what this one held, or nothing.
  Buffer& operator=(Buffer&& other) noexcept;

  /// Makes room for `bytes`. Throws std::bad_alloc.
  void reserve(int64_t bytes);

  /// Null where it holds nothing.
  std::byte* data() { return data_; }
  /// The same.
  const std::byte* data() const { return data_; }
  int64_t capacity() const { return capacity_; }  ///< bytes

  /// The first rows * cols elements as a matrix; the caller has reserved room for them.
  MatrixView matrix(DType dtype, int64_t rows, int64_t cols) { return {data(), dtype, rows, cols}; }
  /// The same.
  ConstMatrixView matrix(DType dtype, int64_t rows, int64_t cols) const {
    return {data(), dtype, rows, cols};
  }

 private:
  void release();

  std::byte* data_ = nullptr;
  int64_t capacity_ = 0;
};

}  // namespace hashep
