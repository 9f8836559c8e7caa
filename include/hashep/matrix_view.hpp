// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <iterator>
#include <memory>
#include <ranges>
#include <string>
#include <type_traits>

#include "hashep/dtype.hpp"
#include "hashep/error.hpp"
#include "hashep/tensor_view.hpp"

namespace hashep {

/// The DType of a C++ type that activations and weights may have: float or BFloat16.
template <typename T>
requires std::is_same_v<T, float> || std::is_same_v<T, BFloat16>
inline constexpr DType kDTypeOf = std::is_same_v<T, float> ? DType::f32 : DType::bf16;

/// A view of [rows, cols] elements at `values`, float or BFloat16 in host memory, which the caller
/// keeps alive: a MatrixView, or a ConstMatrixView where T is const. Local.
template <typename T>
auto matrix_view(T* values, int64_t rows, int64_t cols) {
  using Byte = std::conditional_t<std::is_const_v<T>, const std::byte, std::byte>;
  return BasicMatrixView<Byte>{reinterpret_cast<Byte*>(values), kDTypeOf<std::remove_const_t<T>>,
                               rows, cols};
}

/// The same of a whole vector, array or span, whose size must be a multiple of `cols`: as many rows
/// as there are. Throws InputError where it is none.
template <std::ranges::contiguous_range Values>
requires std::ranges::borrowed_range<Values>
auto matrix_view(Values&& values, int64_t cols) {
  const auto size = static_cast<int64_t>(std::ranges::size(values));
  if (cols < 1 || size % cols != 0) {
    throw InputError("a matrix of " + std::to_string(size) + " elements has no whole rows of " +
                     std::to_string(cols));
  }
  return matrix_view(std::ranges::data(values), size / cols, cols);
}

}  // namespace hashep
