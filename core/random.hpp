// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

namespace hashep {

/// 64 random bits that are a pure function of (key, index): the splitmix64 output function
/// (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014) at state
/// key + index * golden ratio. Any part of a stream can be made anywhere, in any order.
inline uint64_t random_bits(uint64_t key, uint64_t index) {
  uint64_t z = key + (index + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

/// A key for a stream of its own, derived from a key and a tag.
inline uint64_t derive_key(uint64_t key, uint64_t tag) {
  return random_bits(random_bits(key, tag), 0x68617368u);
}

/// A double in [0, 1) from 64 random bits.
inline double uniform_from_bits(uint64_t bits) {
  return static_cast<double>(bits >> 11) * 0x1.0p-53;
}

/// Fills `out` with elements [first, first + out.size()) of the standard normal stream `key`
/// (Box-Muller over pairs, in fp32). Elements do not depend on how a stream is cut.
void fill_normal(uint64_t key, int64_t first, std::span<float> out);

}  // namespace hashep
