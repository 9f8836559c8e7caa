// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

namespace hashep {

/// Copies `bytes` with stores that bypass the caches (non-temporal), where the processor has them:
/// a line that is only written is then not read first, and nothing else is evicted. Any alignment;
/// lines of 64 bytes that `to` holds whole are streamed. Must not overlap. Other threads and ranks
/// may not rely on the bytes before this thread's stream_fence().
void stream_copy(std::byte* to, const std::byte* from, int64_t bytes);

/// The same, asking line by line for [ahead, ahead + bytes), which is to be read next: where that
/// stands elsewhere, the hardware does not foresee it. Line by line, since a burst would fill the
/// queue of outstanding reads.
void stream_copy(std::byte* to, const std::byte* from, int64_t bytes, const std::byte* ahead);

/// Orders this thread's streamed stores before its later ones, such as that of a flag.
void stream_fence();

/// Asks for lines of [from, from + bytes) ahead of their use.
inline void prefetch(const std::byte* from, int64_t bytes) {
  constexpr int64_t kLine = 64;
  for (int64_t offset = 0; offset < bytes; offset += kLine) __builtin_prefetch(from + offset);
}

/// Copies one row, streamed or not.
inline void copy_row(std::byte* to, const std::byte* from, int64_t bytes, bool stream) {
  if (stream) {
    stream_copy(to, from, bytes);
  } else {
    std::memcpy(to, from, bytes);
  }
}

/// Whether a rank's copies, whose sources and targets take `working_set` bytes, are faster
/// streamed: where they do not fit in the cache that is its core's own (L2). What one core writes
/// and another reads goes past that cache anyway, and a plain store reads the line first. Measured
/// with `hashep-bench exchange` on a Zen 3 with 512 KiB of L2: equal at 1 x L2; streamed 12 to 25 %
/// faster at 2 x, 30 to 35 % from 4 x on (up to 64 MiB); plain up to 2 x faster at L2 / 2.
bool worth_streaming(int64_t working_set);

/// Bytes of a core's own cache (L2) and of the last-level cache (L3); common sizes where the system
/// does not tell.
int64_t core_cache_bytes();
int64_t last_level_cache_bytes();

}  // namespace hashep
