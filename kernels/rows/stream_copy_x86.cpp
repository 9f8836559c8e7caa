// SPDX-License-Identifier: Apache-2.0
#include <emmintrin.h>

#include <algorithm>

#include "kernels/rows/stream_copy.hpp"

namespace hashep {

namespace {

constexpr int64_t kLine = 64;  // bytes

void stream_line(std::byte* to, const std::byte* from) {
  const auto* source = reinterpret_cast<const __m128i*>(from);
  auto* target = reinterpret_cast<__m128i*>(to);
  const __m128i a = _mm_loadu_si128(source);
  const __m128i b = _mm_loadu_si128(source + 1);
  const __m128i c = _mm_loadu_si128(source + 2);
  const __m128i d = _mm_loadu_si128(source + 3);
  _mm_stream_si128(target, a);
  _mm_stream_si128(target + 1, b);
  _mm_stream_si128(target + 2, c);
  _mm_stream_si128(target + 3, d);
}

/// Calls line(i) for the offsets of the lines that `to` holds whole, and copies the rest plainly.
template <typename Line>
void for_each_line(std::byte* to, const std::byte* from, int64_t bytes, const Line& line) {
  const int64_t misplaced = reinterpret_cast<intptr_t>(to) % kLine;
  const int64_t head = std::min(bytes, misplaced == 0 ? 0 : kLine - misplaced);
  const int64_t end = head + (bytes - head) / kLine * kLine;
  if (head > 0) std::memcpy(to, from, head);
  for (int64_t i = head; i < end; i += kLine) line(i);
  if (end < bytes) std::memcpy(to + end, from + end, bytes - end);
}

}  // namespace

void stream_copy(std::byte* to, const std::byte* from, int64_t bytes) {
  for_each_line(to, from, bytes, [=](int64_t i) { stream_line(to + i, from + i); });
}

void stream_copy(std::byte* to, const std::byte* from, int64_t bytes, const std::byte* ahead) {
  for_each_line(to, from, bytes, [=](int64_t i) {
    _mm_prefetch(reinterpret_cast<const char*>(ahead + i), _MM_HINT_T0);
    stream_line(to + i, from + i);
  });
}

void stream_fence() {
  _mm_sfence();
}

}  // namespace hashep
