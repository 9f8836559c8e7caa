// SPDX-License-Identifier: Apache-2.0
#include "python/src/arrays.hpp"

#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <limits>
#include <optional>
#include <type_traits>

#include "hashep/error.hpp"

namespace hashep::python {
namespace {

using Code = nb::dlpack::dtype_code;

std::string dtype_text(nb::dlpack::dtype dtype) {
  const auto bits = std::to_string(dtype.bits);
  switch (static_cast<Code>(dtype.code)) {
    case Code::Int:
      return "int" + bits;
    case Code::UInt:
      return "uint" + bits;
    case Code::Float:
      return "float" + bits;
    case Code::Bfloat:
      return "bfloat" + bits;
    case Code::Complex:
      return "complex" + bits;
    case Code::Bool:
      return "bool";
    default:
      return "another type of " + bits + " bits";
  }
}

std::string type_text(nb::handle value) {
  return nb::cast<std::string>(value.type().attr("__name__"));
}

/// Throws InputError where `value` does not share its memory, saying why as far as can be known.
template <typename Array>
Array import_array(nb::handle value, const std::string& name, bool writes) {
  Array array;
  bool is_array = false;
  try {
    is_array = nb::try_cast(value, array);
  } catch (const std::exception&) {
    is_array = false;
  }
  PyErr_Clear();
  if (is_array) return array;
  if (nb::hasattr(value, "requires_grad") && nb::cast<bool>(value.attr("requires_grad"))) {
    throw InputError(name + ": a tensor that requires grad has to be detached first");
  }
  throw InputError(name + ": " + type_text(value) + " is no array in memory that can be " +
                   (writes ? "written to" : "read") + " (numpy, torch, DLPack)");
}

template <typename Array>
void require_host(const Array& array, const std::string& name) {
  if (array.device_type() != nb::device::cpu::value) {
    throw InputError(name + ": is not in host memory; stacks compute on CPUs");
  }
}

/// Whether elements stand in C order without gaps.
template <typename Array>
bool is_contiguous(const Array& array) {
  int64_t expected = 1;
  for (size_t i = array.ndim(); i-- > 0;) {
    if (array.shape(i) != 1 && array.stride(i) != expected) return false;
    expected *= static_cast<int64_t>(array.shape(i));
  }
  return true;
}

template <typename Array>
void require_contiguous(const Array& array, const std::string& name) {
  if (array.size() > 0 && !is_contiguous(array)) {
    throw InputError(name + ": its elements do not stand one after the other; make it contiguous");
  }
}

template <typename Array>
DType matrix_dtype(const Array& array, const std::string& name) {
  const nb::dlpack::dtype dtype = array.dtype();
  if (dtype == nb::dtype<float>()) return DType::f32;
  const bool is_half = dtype.bits == 16 && dtype.lanes == 1;
  if (is_half && dtype.code == static_cast<uint8_t>(Code::Bfloat)) return DType::bf16;
  if (dtype == nb::dtype<uint16_t>()) return DType::bf16;
  throw InputError(name + ": " + dtype_text(dtype) + " is neither float32 nor bfloat16");
}

template <typename Byte, typename Array>
BasicMatrixView<Byte> matrix_of(const Array& array, const std::string& name) {
  require_host(array, name);
  const DType dtype = matrix_dtype(array, name);
  if (array.ndim() < 2) {
    throw InputError(name + ": has " + std::to_string(array.ndim()) +
                     " dimensions; [rows, columns] are needed");
  }
  require_contiguous(array, name);
  int64_t rows = 1;
  for (size_t i = 0; i + 1 < array.ndim(); ++i) rows *= static_cast<int64_t>(array.shape(i));
  return {reinterpret_cast<Byte*>(const_cast<void*>(static_cast<const void*>(array.data()))), dtype,
          rows, static_cast<int64_t>(array.shape(array.ndim() - 1))};
}

template <typename To, typename From>
std::vector<To> converted(const From* values, size_t count, const std::string& name) {
  std::vector<To> to(count);
  for (size_t i = 0; i < count; ++i) {
    to[i] = static_cast<To>(values[i]);
    if (static_cast<From>(to[i]) != values[i]) {
      throw InputError(name + ": " + std::to_string(values[i]) + " at index " + std::to_string(i) +
                       " is not in [-2^31, 2^31)");
    }
  }
  return to;
}

}  // namespace

void require_between(const std::string& name, int64_t value, int64_t least, int64_t most) {
  if (value >= least && value <= most) return;
  throw InputError(name + ": " + std::to_string(value) + " is not in [" + std::to_string(least) +
                   ", " + std::to_string(most) + "]");
}

void require_count(const std::string& name, int64_t value) {
  require_between(name, value, 1, std::numeric_limits<int32_t>::max());
}

InputMatrix input_matrix(nb::handle value, const std::string& name) {
  InputMatrix matrix{import_array<nb::ndarray<nb::ro>>(value, name, false), {}};
  matrix.view = matrix_of<const std::byte>(matrix.array, name);
  return matrix;
}

OutputMatrix output_matrix(nb::handle value, const std::string& name) {
  OutputMatrix matrix{import_array<nb::ndarray<>>(value, name, true), {}};
  matrix.view = matrix_of<std::byte>(matrix.array, name);
  return matrix;
}

template <typename Int>
Integers<Int>::Integers(nb::handle value, const std::string& name) {
  if (value.is_none()) return;
  if (nb::isinstance<nb::list>(value) || nb::isinstance<nb::tuple>(value)) {
    std::vector<int64_t> list;
    if (!nb::try_cast(value, list))
      throw InputError(name + ": a list of other things than integers");
    converted_ = converted<Int>(list.data(), list.size(), name);
    span_ = converted_;
    shape_ = {static_cast<int64_t>(converted_.size())};
    return;
  }
  array_ = import_array<nb::ndarray<nb::ro>>(value, name, false);
  require_host(array_, name);
  require_contiguous(array_, name);
  for (size_t i = 0; i < array_.ndim(); ++i)
    shape_.push_back(static_cast<int64_t>(array_.shape(i)));
  const auto with = [&]<typename From>(From) {
    const auto* const values = static_cast<const From*>(array_.data());
    if constexpr (std::is_same_v<From, Int>) {
      span_ = {values, array_.size()};
    } else {
      converted_ = converted<Int>(values, array_.size(), name);
      span_ = converted_;
    }
  };
  if (array_.dtype() == nb::dtype<int32_t>()) {
    with(int32_t{});
  } else if (array_.dtype() == nb::dtype<int64_t>()) {
    with(int64_t{});
  } else {
    throw InputError(name + ": " + dtype_text(array_.dtype()) + " is neither int32 nor int64");
  }
}

template class Integers<int32_t>;
template class Integers<int64_t>;

nb::object numpy_view(MatrixView matrix, nb::handle owner) {
  return numpy_view(reinterpret_cast<float*>(matrix.data),
                    {static_cast<size_t>(matrix.rows), static_cast<size_t>(matrix.cols)}, owner);
}

}  // namespace hashep::python
