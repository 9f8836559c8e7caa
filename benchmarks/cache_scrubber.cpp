// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/cache_scrubber.hpp"

#include <cstring>

#include "kernels/rows/stream_copy.hpp"

namespace hashep::bench {

void CacheScrubber::run() {
  if (lines_.capacity() == 0) {
    lines_.reserve(last_level_cache_bytes());
    std::memset(lines_.data(), 1, static_cast<size_t>(lines_.capacity()));  // pages of its own
  }
  int64_t sum = 0;
  for (int64_t i = 0; i < lines_.capacity(); i += 64) {
    sum += static_cast<int64_t>(lines_.data()[i]);
  }
  lines_.data()[0] = static_cast<std::byte>(sum);
}

}  // namespace hashep::bench
