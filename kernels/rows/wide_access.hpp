// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <type_traits>

#include "hashep/dtype.hpp"
#include "kernels/host_device.hpp"
#include "kernels/require.hpp"

namespace hashep {

// Memory accesses of a kernel's threads: as wide as alignment allows, up to 16 bytes.

inline constexpr int kWidestAccess = 16;  // bytes

/// What one access moves: kBytes (2, 4, 8 or 16) at an address that they divide.
template <int kBytes>
struct alignas(kBytes) [[gnu::may_alias]] Chunk {
  using Word = std::conditional_t<(kBytes >= 4), uint32_t, uint16_t>;
  Word words[static_cast<size_t>(kBytes) / sizeof(Word)];
};

template <int kBytes>
HASHEP_HOST_DEVICE inline Chunk<kBytes> load_chunk(const std::byte* from) {
#if defined(__CUDA_ARCH__)
  __builtin_assume(__isGlobal(from));  // an address read from memory might be of any kind
#endif
  return *reinterpret_cast<const Chunk<kBytes>*>(from);
}

template <int kBytes>
HASHEP_HOST_DEVICE inline void store_chunk(const Chunk<kBytes>& value, std::byte* to) {
#if defined(__CUDA_ARCH__)
  // A plain store of a struct, uint4 too, nvcc splits where it loses sight of the alignment.
  if constexpr (kBytes == 16) {
    const uint4 whole{value.words[0], value.words[1], value.words[2], value.words[3]};
    __stwb(reinterpret_cast<uint4*>(to), whole);
  } else if constexpr (kBytes == 8) {
    __stwb(reinterpret_cast<uint2*>(to), uint2{value.words[0], value.words[1]});
  } else {
    __stwb(reinterpret_cast<typename Chunk<kBytes>::Word*>(to), value.words[0]);
  }
#else
  *reinterpret_cast<Chunk<kBytes>*>(to) = value;
#endif
}

/// The chunk that holds kCount elements of type T.
template <typename T, int kCount>
using ElementChunk = Chunk<static_cast<int>(sizeof(T)) * kCount>;

/// The elements of a chunk in fp32.
template <typename T, int kCount>
HASHEP_HOST_DEVICE inline void to_floats(const ElementChunk<T, kCount>& chunk,
                                         float (&out)[kCount]) {
  const auto values = std::bit_cast<std::array<T, static_cast<size_t>(kCount)>>(chunk);
  HASHEP_UNROLL
  for (int i = 0; i < kCount; ++i) out[i] = static_cast<float>(values[i]);
}

/// The values, each rounded to T, as a chunk.
template <typename T, int kCount>
HASHEP_HOST_DEVICE inline ElementChunk<T, kCount> from_floats(const float (&values)[kCount]) {
  std::array<T, static_cast<size_t>(kCount)> rounded;
  HASHEP_UNROLL
  for (int i = 0; i < kCount; ++i) rounded[i] = static_cast<T>(values[i]);
  return std::bit_cast<ElementChunk<T, kCount>>(rounded);
}

/// Bytes of the accesses that load or store kCount elements of type T that stand side by side.
template <typename T, int kCount>
inline constexpr int kAccessBytes = static_cast<int>(sizeof(T)) * kCount < kWidestAccess
                                        ? static_cast<int>(sizeof(T)) * kCount
                                        : kWidestAccess;

/// out = kCount elements at `from`, in accesses of kAccessBytes.
template <typename T, int kCount>
HASHEP_HOST_DEVICE inline void load_floats(const T* from, float (&out)[kCount]) {
  constexpr int kBytes = kAccessBytes<T, kCount>;
  constexpr int kEach = kBytes / static_cast<int>(sizeof(T));
  HASHEP_UNROLL
  for (int first = 0; first < kCount; first += kEach) {
    float values[kEach];
    to_floats<T, kEach>(load_chunk<kBytes>(reinterpret_cast<const std::byte*>(from + first)),
                        values);
    HASHEP_UNROLL
    for (int i = 0; i < kEach; ++i) out[first + i] = values[i];
  }
}

/// kCount elements at `to` = the values, each rounded to T, in accesses of kAccessBytes.
template <typename T, int kCount>
HASHEP_HOST_DEVICE inline void store_floats(const float (&values)[kCount], T* to) {
  constexpr int kBytes = kAccessBytes<T, kCount>;
  constexpr int kEach = kBytes / static_cast<int>(sizeof(T));
  HASHEP_UNROLL
  for (int first = 0; first < kCount; first += kEach) {
    float part[kEach];
    HASHEP_UNROLL
    for (int i = 0; i < kEach; ++i) part[i] = values[first + i];
    store_chunk<kBytes>(from_floats<T, kEach>(part), reinterpret_cast<std::byte*>(to + first));
  }
}

/// Whether `bytes` divide an address (of host or GPU memory).
inline bool is_aligned(const void* address, int64_t bytes) {
  return reinterpret_cast<uintptr_t>(address) % static_cast<uintptr_t>(bytes) == 0;
}

/// The widest access (16, 8, 4 or 2 bytes) that divides row_bytes and the addresses. Throws
/// RunError where that is less than an element.
inline int widest_access(int64_t row_bytes, DType dtype,
                         std::initializer_list<const void*> addresses) {
  const auto fits = [&](int bytes) {
    bool all = row_bytes % bytes == 0;
    for (const void* address : addresses) all = all && is_aligned(address, bytes);
    return all;
  };
  int bytes = kWidestAccess;
  while (bytes > 1 && !fits(bytes)) bytes /= 2;
  require(bytes >= dtype_size(dtype), "rows in GPU memory are not aligned to their elements");
  return bytes;
}

}  // namespace hashep
