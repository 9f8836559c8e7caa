// SPDX-License-Identifier: Apache-2.0
#include "hashep/dtype.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "hashep/error.hpp"
#include "tests/support/catch.hpp"

using namespace hashep;

namespace {

/// IEEE 754 binary16 by its definition.
double f16_by_definition(uint16_t bits) {
  const double sign = (bits & 0x8000) != 0 ? -1 : 1;
  const int exponent = (bits >> 10) & 0x1f;
  const int mantissa = bits & 0x3ff;
  if (exponent == 0) return sign * std::ldexp(mantissa, -24);
  return sign * std::ldexp(1024 + mantissa, exponent - 25);
}

}  // namespace

TEST_CASE("every f16 converts exactly") {
  for (uint32_t word = 0; word <= 0xffff; ++word) {
    const auto bits = static_cast<uint16_t>(word);
    const float value = float_from_f16(bits);
    INFO("bits " << bits);
    REQUIRE(std::signbit(value) == ((bits & 0x8000) != 0));
    if ((bits & 0x7c00) != 0x7c00) {
      REQUIRE(static_cast<double>(value) == f16_by_definition(bits));
    } else if ((bits & 0x3ff) == 0) {
      REQUIRE(std::isinf(value));
    } else {
      REQUIRE(std::isnan(value));
    }
  }
}

TEST_CASE("bf16 rounds to nearest even and keeps what it holds") {
  for (uint32_t word = 0; word <= 0xffff; ++word) {
    BFloat16 value;
    value.bits = static_cast<uint16_t>(word);
    const auto wide = static_cast<float>(value);
    if (std::isnan(wide)) {
      REQUIRE(std::isnan(static_cast<float>(BFloat16(wide))));
    } else {
      REQUIRE(BFloat16(wide) == value);
    }
  }
  CHECK(BFloat16(1.0f + 0x1.0p-8f).bits == 0x3f80);   // a tie goes to the even 1
  CHECK(BFloat16(1.0f + 0x1.8p-7f).bits == 0x3f82);   // a tie goes to the even 1 + 2^-6
  CHECK(BFloat16(1.0f + 0x1.02p-8f).bits == 0x3f81);  // above a tie
  CHECK(BFloat16(std::numeric_limits<float>::max()).bits == 0x7f80);  // past the largest: infinity
}

TEST_CASE("conversion to float takes data of any alignment") {
  constexpr int64_t kCount = 37;
  for (const DType dtype : {DType::f32, DType::f16, DType::bf16}) {
    const int64_t size = dtype_size(dtype);
    std::vector<std::byte> even(kCount * size);
    for (size_t i = 0; i < even.size(); ++i) even[i] = static_cast<std::byte>((i * 37 + 11) % 113);
    std::vector<float> expected(kCount);
    convert_to_float(dtype, even.data(), kCount, expected.data());
    for (size_t shift = 1; shift < 5; ++shift) {
      std::vector<std::byte> odd(even.size() + shift);
      std::copy(even.begin(), even.end(), odd.begin() + static_cast<int64_t>(shift));
      std::vector<float> values(kCount);
      convert_to_float(dtype, odd.data() + shift, kCount, values.data());
      CHECK(values == expected);
    }
  }
}

TEST_CASE("conversion from float and back is exact for values that the dtype holds") {
  const std::vector<float> values = {0.0f, -1.5f, 256.0f, 0.0078125f};
  for (const DType dtype : {DType::f32, DType::bf16}) {
    std::vector<std::byte> stored(values.size() * 4);
    std::vector<float> back(values.size());
    convert_from_float(values.data(), 4, dtype, stored.data());
    convert_to_float(dtype, stored.data(), 4, back.data());
    CHECK(back == values);
  }
  std::vector<std::byte> stored(16);
  CHECK_THROWS_AS(convert_from_float(values.data(), 4, DType::i32, stored.data()), RunError);
  std::vector<float> out(4);
  CHECK_THROWS_AS(convert_to_float(DType::i64, stored.data(), 1, out.data()), RunError);
}
