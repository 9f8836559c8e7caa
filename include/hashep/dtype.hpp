// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace hashep {

/// Element types of tensors in memory and in files.
enum class DType {
  f32,   ///< IEEE binary32
  f16,   ///< IEEE binary16
  bf16,  ///< the upper half of a binary32
  i32,   ///< int32_t
  i64    ///< int64_t
};

/// Bytes of one element.
int64_t dtype_size(DType dtype);

/// The name that people know and results have: fp32, fp16, bf16, i32, i64.
std::string_view dtype_name(DType dtype);

/// bfloat16: the upper half of an IEEE binary32. Its conversions are constexpr, so that device code
/// may call them.
struct BFloat16 {
  uint16_t bits = 0;  ///< sign, exponent and 7 bits of the significand

  BFloat16() = default;  ///< 0

  /// Rounds to nearest, ties to even; a NaN stays a (quiet) NaN.
  constexpr explicit BFloat16(float value) {
    const auto word = std::bit_cast<uint32_t>(value);
    const bool is_nan = (word & 0x7fffffffu) > 0x7f800000u;
    const uint32_t rounded = word + 0x7fffu + ((word >> 16) & 1u);
    bits = static_cast<uint16_t>((is_nan ? (word | 0x400000u) : rounded) >> 16);
  }

  /// Exact.
  constexpr explicit operator float() const {
    return std::bit_cast<float>(static_cast<uint32_t>(bits) << 16);
  }
  bool operator==(const BFloat16&) const = default;
};
static_assert(sizeof(BFloat16) == 2);

/// Converts an IEEE binary16, given by its bits, exactly.
float float_from_f16(uint16_t bits);

/// Converts `count` floating-point elements (f32, f16 or bf16) at `source`, of any alignment, to
/// float. The two may not overlap.
void convert_to_float(DType dtype, const void* source, int64_t count, float* out);

/// Converts `count` floats to `dtype` (f32 or bf16), rounding to nearest even.
void convert_from_float(const float* source, int64_t count, DType dtype, void* out);

/// Calls `body` with a value of the C++ type of a dtype that activations may have: f32 or bf16.
template <typename Body>
void with_activation_type(DType dtype, Body&& body) {
  if (dtype == DType::bf16) {
    body(BFloat16{});
  } else {
    body(float{});
  }
}

}  // namespace hashep
