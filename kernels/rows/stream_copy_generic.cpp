// SPDX-License-Identifier: Apache-2.0
// Processors whose compilers offer no portable non-temporal store: plain copies.
#include "kernels/rows/stream_copy.hpp"

namespace hashep {

void stream_copy(std::byte* to, const std::byte* from, int64_t bytes) {
  if (bytes > 0) std::memcpy(to, from, bytes);
}

void stream_copy(std::byte* to, const std::byte* from, int64_t bytes, const std::byte*) {
  stream_copy(to, from, bytes);
}

void stream_fence() {}

}  // namespace hashep
