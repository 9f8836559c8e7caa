// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <vector>

#include "hashep/tensor_view.hpp"

namespace hashep::python {

namespace nb = nanobind;

/// How `__eq__` looks to Python's type checkers: it takes anything.
inline const nb::sig kEqual("def __eq__(self, other: object, /) -> bool");

/// An array of Python's (numpy, torch, anything with DLPack or the buffer protocol) as a matrix,
/// without a copy: all dimensions but the last are rows. `array` keeps it alive.
struct InputMatrix {
  nb::ndarray<nb::ro> array;
  ConstMatrixView view;
};
struct OutputMatrix {
  nb::ndarray<> array;
  MatrixView view;
};

/// Throws InputError, naming `name`, unless it is in host memory, of float32 or bfloat16 (numpy,
/// which has none: uint16 with the same bits), of two dimensions or more, and its rows stand one
/// after the other.
InputMatrix input_matrix(nb::handle value, const std::string& name);
/// The same for memory that is written to, which must be writable.
OutputMatrix output_matrix(nb::handle value, const std::string& name);

/// Throws InputError, naming `name`, unless `value` is in [least, most].
void require_between(const std::string& name, int64_t value, int64_t least, int64_t most);
/// The same for numbers of ranks and experts, of which there is at least one.
void require_count(const std::string& name, int64_t value);

/// A list or an array of integers.
template <typename Int>
class Integers {
 public:
  /// No integers.
  Integers() = default;
  /// int32 and int64 are taken, what does not fit Int is refused. None: no integers. Throws
  /// InputError naming `name`.
  Integers(nb::handle value, const std::string& name);

  std::span<const Int> span() const { return span_; }
  std::vector<Int> vector() const { return {span_.begin(), span_.end()}; }
  /// Of the array; of a list [size].
  const std::vector<int64_t>& shape() const { return shape_; }

 private:
  nb::ndarray<nb::ro> array_;   // what span_ is of, or
  std::vector<Int> converted_;  // where it is of another type
  std::span<const Int> span_;
  std::vector<int64_t> shape_;
};

/// A numpy array of the memory itself, which `owner` keeps.
template <typename T>
nb::object numpy_view(T* data, std::initializer_list<size_t> shape, nb::handle owner) {
  return nb::cast(nb::ndarray<nb::numpy, T>(data, shape, owner));
}
template <typename T>
nb::object numpy_view(const std::vector<T>& values, nb::handle owner) {
  return numpy_view(values.data(), {values.size()}, owner);
}
/// The same of a matrix of float32.
nb::object numpy_view(MatrixView matrix, nb::handle owner);

/// A numpy array of its own.
template <typename T>
nb::object numpy_array(std::vector<T> values, std::initializer_list<size_t> shape) {
  auto* const kept = new std::vector<T>(std::move(values));
  const nb::capsule owner(
      kept, [](void* vector) noexcept { delete static_cast<std::vector<T>*>(vector); });
  return numpy_view(kept->data(), shape, owner);
}

}  // namespace hashep::python
