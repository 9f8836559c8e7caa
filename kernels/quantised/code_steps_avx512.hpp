// SPDX-License-Identifier: Apache-2.0
// For sources of x86 alone.
#pragma once

#include <immintrin.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "kernels/quantised/code_panels.hpp"

#define HASHEP_AVX512_BF16 \
  __attribute__((target("avx512f,avx512bw,avx512vl,avx512vbmi,avx512bf16")))
#define HASHEP_AVX512_BF16_INLINE HASHEP_AVX512_BF16 __attribute__((always_inline)) inline

namespace hashep::avx512 {

inline bool is_there() {
  return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
         __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi") &&
         __builtin_cpu_supports("avx512bf16");
}

// Values are looked up as bf16 numbers times 2^kTablePower, which leaves the exponents of the
// smallest far enough from 0 for a power of two to be taken off by a subtraction of integers:
// values times 2^(e - 127) are those of the table less (kTablePower + 127 - e) << 7. The
// subtraction saturates, so that 0 stays 0. It needs e <= 245, and that no value becomes too small:
// what exact_dtype calls exact.
constexpr int kTablePower = 118;

/// bf16 of value * 2^power, for the values of both formats, which have at most 4 bits.
constexpr uint16_t bf16_bits(float value, int power) {
  if (value == 0.0f) return 0;
  const auto bits = __builtin_bit_cast(uint32_t, value) >> 16;
  return static_cast<uint16_t>(bits + (static_cast<uint32_t>(power) << 7));
}

constexpr float fp4_value(int code) {
  constexpr std::array<float, 8> kMagnitudes = {0.0f, 0.5f, 1.0f, 1.5f, 2.0f, 3.0f, 4.0f, 6.0f};
  const float magnitude = kMagnitudes[code & 7];
  return (code & 8) != 0 ? -magnitude : magnitude;
}

constexpr float fp8_magnitude(int code) {
  const int exponent = code >> 3;
  const int significand = code & 7;
  float value = static_cast<float>(exponent == 0 ? significand : 8 + significand) / 512.0f;
  for (int i = 1; i < exponent; ++i) value *= 2.0f;
  return value;
}

/// Tables of FP4's codes: of 5 bits, the highest of which belongs to another code.
template <int kPower>
struct alignas(64) Fp4Table {
  constexpr Fp4Table() {
    for (int i = 0; i < 32; ++i) words[i] = bf16_bits(fp4_value(i & 15), kPower);
  }
  std::array<uint16_t, 32> words{};
};
template <int kPower>
inline constexpr Fp4Table<kPower> kFp4Table;

/// Tables of FP8's magnitudes: bytes of their bf16 numbers.
template <int kPower>
struct alignas(64) Fp8Table {
  constexpr Fp8Table() {
    for (int i = 0; i < 127; ++i) {
      const uint16_t bits = bf16_bits(fp8_magnitude(i), kPower);
      low[i] = static_cast<uint8_t>(bits);
      high[i] = static_cast<uint8_t>(bits >> 8);
    }
  }
  std::array<uint8_t, 128> low{};
  std::array<uint8_t, 128> high{};
};
template <int kPower>
inline constexpr Fp8Table<kPower> kFp8Table;

/// Looks up the pairs of a step of FP4: [kPairs] registers of bf16 times 2^kPower.
template <int kPower>
class Fp4Lookup {
 public:
  static constexpr int kPairs = 4;
  HASHEP_AVX512_BF16_INLINE Fp4Lookup() : table_(_mm512_load_si512(&kFp4Table<kPower>)) {}

  HASHEP_AVX512_BF16_INLINE void look_up(const std::byte* step, __m512i* pairs) const {
    const __m512i codes = _mm512_loadu_si512(step);
    pairs[0] = _mm512_permutexvar_epi16(codes, table_);
    pairs[1] = _mm512_permutexvar_epi16(_mm512_srli_epi16(codes, 4), table_);
    pairs[2] = _mm512_permutexvar_epi16(_mm512_srli_epi16(codes, 8), table_);
    pairs[3] = _mm512_permutexvar_epi16(_mm512_srli_epi16(codes, 12), table_);
  }

 private:
  __m512i table_;
};

template <int kPower>
class Fp8Lookup {
 public:
  static constexpr int kPairs = 2;
  HASHEP_AVX512_BF16_INLINE Fp8Lookup()
      : low_{_mm512_load_si512(&kFp8Table<kPower>.low[0]),
             _mm512_load_si512(&kFp8Table<kPower>.low[64])},
        high_{_mm512_load_si512(&kFp8Table<kPower>.high[0]),
              _mm512_load_si512(&kFp8Table<kPower>.high[64])} {}

  HASHEP_AVX512_BF16_INLINE void look_up(const std::byte* step, __m512i* pairs) const {
    constexpr int kOrAnd = 0xf8;  // a | (b & c)
    const __m512i codes = _mm512_loadu_si512(step);
    const __m512i low = _mm512_permutex2var_epi8(low_[0], codes, low_[1]);
    const __m512i magnitude = _mm512_permutex2var_epi8(high_[0], codes, high_[1]);
    const __m512i high = _mm512_ternarylogic_epi32(
        magnitude, codes, _mm512_set1_epi8(static_cast<char>(0x80)), kOrAnd);
    pairs[0] = _mm512_unpacklo_epi8(low, high);
    pairs[1] = _mm512_unpackhi_epi8(low, high);
  }

 private:
  __m512i low_[2];
  __m512i high_[2];
};

/// Scales that are powers of two, where all products are exact.
class ExactScale {
 public:
  static constexpr int kPower = kTablePower;
  HASHEP_AVX512_BF16_INLINE void load(const std::byte* scales) {
    const __m512i e =
        _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(scales)));
    const __m512i drop =
        _mm512_slli_epi32(_mm512_sub_epi32(_mm512_set1_epi32(kTablePower + 127), e), 7);
    drop_ = _mm512_or_si512(drop, _mm512_slli_epi32(drop, 16));
  }
  HASHEP_AVX512_BF16_INLINE __m512i scaled(__m512i pair) const {
    return _mm512_subs_epu16(pair, drop_);
  }

 private:
  __m512i drop_;
};

/// Any scales: products are made in fp32 and rounded to bf16, to nearest even.
template <bool kAreFloats>
class RoundedScale {
 public:
  static constexpr int kPower = 0;
  HASHEP_AVX512_BF16_INLINE void load(const std::byte* scales) {
    if constexpr (kAreFloats) {
      factor_ = _mm512_loadu_ps(scales);
    } else {
      const __m512i e =
          _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(scales)));
      // 2^-127 is subnormal.
      constexpr int kLeast = 0x00400000;
      factor_ = _mm512_castsi512_ps(
          _mm512_max_epi32(_mm512_slli_epi32(e, 23), _mm512_set1_epi32(kLeast)));
    }
  }
  HASHEP_AVX512_BF16_INLINE __m512i scaled(__m512i pair) const {
    constexpr int kSelect = 0xca;  // a ? b : c
    const __m512i high = _mm512_set1_epi32(static_cast<int>(0xffff0000));
    const __m512i first = rounded(_mm512_slli_epi32(pair, 16));
    const __m512i second = rounded(_mm512_and_si512(pair, high));
    return _mm512_ternarylogic_epi32(high, second, _mm512_srli_epi32(first, 16), kSelect);
  }

 private:
  /// The upper halves are bf16.
  HASHEP_AVX512_BF16_INLINE __m512i rounded(__m512i value) const {
    const __m512i bits = _mm512_castps_si512(_mm512_mul_ps(_mm512_castsi512_ps(value), factor_));
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    return _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  }

  __m512 factor_;
};

/// Calls body.run<Lookup, Scale>() with those of the panels.
template <typename Body>
void with_steps_of(const CodePanels& panels, const Body& body) {
  const bool is_fp4 = panels.format == QuantFormat::fp4_e2m1;
  const bool are_floats = panels.scale_format == ScaleFormat::f32;
  if (panels.is_exact) {
    is_fp4 ? body.template run<Fp4Lookup<kTablePower>, ExactScale>()
           : body.template run<Fp8Lookup<kTablePower>, ExactScale>();
  } else if (are_floats) {
    is_fp4 ? body.template run<Fp4Lookup<0>, RoundedScale<true>>()
           : body.template run<Fp8Lookup<0>, RoundedScale<true>>();
  } else {
    is_fp4 ? body.template run<Fp4Lookup<0>, RoundedScale<false>>()
           : body.template run<Fp8Lookup<0>, RoundedScale<false>>();
  }
}

}  // namespace hashep::avx512
