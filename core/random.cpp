// SPDX-License-Identifier: Apache-2.0
#include "core/random.hpp"

#include <cmath>
#include <numbers>

namespace hashep {

void fill_normal(uint64_t key, int64_t first, std::span<float> out) {
  const auto count = static_cast<int64_t>(out.size());
  for (int64_t i = 0; i < count;) {
    const int64_t element = first + i;
    const uint64_t bits = random_bits(key, static_cast<uint64_t>(element / 2));
    // Two 24-bit uniforms of one word: the first in (0, 1], so that its logarithm is finite.
    const float u = (static_cast<float>(bits >> 40) + 1.0f) * 0x1.0p-24f;
    const float v = static_cast<float>((bits >> 16) & 0xffffffu) * 0x1.0p-24f;
    const float radius = std::sqrt(-2.0f * std::log(u));
    const float angle = 2.0f * std::numbers::pi_v<float> * v;
    if (element % 2 == 0) {
      out[i++] = radius * std::cos(angle);
      if (i < count) out[i++] = radius * std::sin(angle);
    } else {
      out[i++] = radius * std::sin(angle);
    }
  }
}

}  // namespace hashep
