// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "hashep/dtype.hpp"

namespace hashep {

/// A borrowed row-major matrix [rows, cols] in host memory, rows contiguous. `Byte` is std::byte or
/// const std::byte. An empty matrix may have a null pointer.
template <typename Byte>
struct BasicMatrixView {
  template <typename T>
  using Element = std::conditional_t<std::is_const_v<Byte>, const T, T>;

  Byte* data = nullptr;
  DType dtype = DType::f32;
  int64_t rows = 0;
  int64_t cols = 0;

  int64_t row_bytes() const { return cols * dtype_size(dtype); }
  int64_t bytes() const { return rows * row_bytes(); }
  Byte* row(int64_t index) const { return data + index * row_bytes(); }

  template <typename T>
  Element<T>* row_as(int64_t index) const {
    return reinterpret_cast<Element<T>*>(row(index));
  }

  /// Rows [first, first + count).
  BasicMatrixView slice(int64_t first, int64_t count) const {
    return {data == nullptr ? nullptr : row(first), dtype, count, cols};
  }

  operator BasicMatrixView<const std::byte>() const requires(!std::is_const_v<Byte>) {
    return {data, dtype, rows, cols};
  }
};

using MatrixView = BasicMatrixView<std::byte>;
using ConstMatrixView = BasicMatrixView<const std::byte>;

}  // namespace hashep
