// SPDX-License-Identifier: Apache-2.0
#include "hashep/dtype.hpp"

#include <cstddef>
#include <string>

#include "core/load.hpp"
#include "hashep/error.hpp"

namespace hashep {

int64_t dtype_size(DType dtype) {
  switch (dtype) {
    case DType::f16:
    case DType::bf16:
      return 2;
    case DType::f32:
    case DType::i32:
      return 4;
    case DType::i64:
      return 8;
  }
  throw RunError("dtype_size: unknown dtype");
}

std::string_view dtype_name(DType dtype) {
  switch (dtype) {
    case DType::f32:
      return "fp32";
    case DType::f16:
      return "fp16";
    case DType::bf16:
      return "bf16";
    case DType::i32:
      return "i32";
    case DType::i64:
      return "i64";
  }
  throw RunError("dtype_name: unknown dtype");
}

float float_from_f16(uint16_t bits) {
  // Straight-line selects, so that loops over it vectorise.
  const uint32_t sign = (bits & 0x8000u) << 16;
  const uint32_t magnitude = (bits & 0x7fffu) << 13;  // exponent and mantissa in binary32's places
  const uint32_t exponent = bits & 0x7c00u;
  const uint32_t normal = magnitude + (112u << 23);  // 112: difference of the exponent biases
  const uint32_t special = magnitude | 0x7f800000u;  // infinity or NaN
  const auto mantissa = static_cast<float>(static_cast<int32_t>(bits & 0x3ffu));
  const auto subnormal = std::bit_cast<uint32_t>(mantissa * 0x1.0p-24f);
  const uint32_t finite = exponent == 0 ? subnormal : normal;
  return std::bit_cast<float>(sign | (exponent == 0x7c00u ? special : finite));
}

void convert_to_float(DType dtype, const void* source, int64_t count, float* out) {
  const auto* in = static_cast<const std::byte*>(source);
  switch (dtype) {
    case DType::f32:
      if (count > 0) std::memcpy(out, in, static_cast<size_t>(count) * sizeof(float));
      return;
    case DType::f16:
      for (int64_t i = 0; i < count; ++i) out[i] = float_from_f16(load<uint16_t>(in + 2 * i));
      return;
    case DType::bf16:
      for (int64_t i = 0; i < count; ++i) {
        out[i] = static_cast<float>(load<BFloat16>(in + 2 * i));
      }
      return;
    default:
      throw RunError("convert_to_float: " + std::string(dtype_name(dtype)) +
                     " is not a float type");
  }
}

void convert_from_float(const float* source, int64_t count, DType dtype, void* out) {
  if (dtype == DType::f32) {
    if (count > 0) std::memcpy(out, source, static_cast<size_t>(count) * sizeof(float));
  } else if (dtype == DType::bf16) {
    auto* to = static_cast<BFloat16*>(out);
    for (int64_t i = 0; i < count; ++i) to[i] = BFloat16(source[i]);
  } else {
    throw RunError("convert_from_float: cannot write " + std::string(dtype_name(dtype)));
  }
}

}  // namespace hashep
