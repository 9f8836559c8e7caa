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
  /// T, const where the memory is.
  template <typename T>
  using Element = std::conditional_t<std::is_const_v<Byte>, const T, T>;

  Byte* data = nullptr;      ///< of element [0, 0]
  DType dtype = DType::f32;  ///< of its elements
  int64_t rows = 0;          ///< for hidden states, tokens
  int64_t cols = 0;          ///< for hidden states, hidden_size

  /// Bytes of a row, and from one to the next.
  int64_t row_bytes() const { return cols * dtype_size(dtype); }
  /// Bytes of all rows.
  int64_t bytes() const { return rows * row_bytes(); }
  /// The first byte of a row.
  Byte* row(int64_t index) const { return data + index * row_bytes(); }

  /// The first element of a row, T being the C++ type of its dtype.
  template <typename T>
  Element<T>* row_as(int64_t index) const {
    return reinterpret_cast<Element<T>*>(row(index));
  }

  /// Rows [first, first + count).
  BasicMatrixView slice(int64_t first, int64_t count) const {
    return {data == nullptr ? nullptr : row(first), dtype, count, cols};
  }

  /// Who may write may read.
  operator BasicMatrixView<const std::byte>() const requires(!std::is_const_v<Byte>) {
    return {data, dtype, rows, cols};
  }
};

/// A matrix to be written.
using MatrixView = BasicMatrixView<std::byte>;
/// A matrix to be read.
using ConstMatrixView = BasicMatrixView<const std::byte>;

}  // namespace hashep
