// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstddef>
#include <cstring>
#include <type_traits>

namespace hashep {

static_assert(std::endian::native == std::endian::little,
              "file formats here are little-endian and are read as they are");

/// Reads a value from memory of any alignment, as file formats have it. `T` is trivially copyable.
template <typename T>
T load(const void* source) {
  static_assert(std::is_trivially_copyable_v<T>);
  T value;
  std::memcpy(&value, source, sizeof(T));
  return value;
}

}  // namespace hashep
