// SPDX-License-Identifier: Apache-2.0
#include "core/random.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

#include "tests/support/catch.hpp"

using namespace hashep;

TEST_CASE("random bits are those of splitmix64") {
  // The first outputs for seed 1234567, as published with Vigna's splitmix64.c test vectors.
  CHECK(random_bits(1234567, 0) == 6457827717110365317u);
  CHECK(random_bits(1234567, 1) == 3203168211198807973u);
  CHECK(random_bits(1234567, 2) == 9817491932198370423u);
}

TEST_CASE("a normal stream does not depend on how it is cut") {
  std::vector<float> whole(101);
  fill_normal(7, 0, whole);
  for (const int64_t first : {0, 1, 2, 49, 50}) {
    std::vector<float> part(51);
    fill_normal(7, first, part);
    CHECK(std::equal(part.begin(), part.end(), whole.begin() + first));
  }
}

TEST_CASE("a normal stream has the moments of a standard normal") {
  constexpr size_t kCount = 200'000;
  std::vector<float> values(kCount);
  fill_normal(3, 0, values);
  double sum = 0;
  double squares = 0;
  double within = 0;
  for (const double value : values) {
    sum += value;
    squares += value * value;
    within += std::abs(value) < 1.0 ? 1 : 0;
  }
  CHECK(std::abs(sum / kCount) < 0.01);
  CHECK(std::abs(squares / kCount - 1) < 0.02);
  CHECK(std::abs(within / kCount - 0.6827) < 0.01);
}

TEST_CASE("derived keys give streams of their own") {
  std::set<uint64_t> keys;
  for (uint64_t key = 0; key < 30; ++key) {
    for (uint64_t tag = 0; tag < 30; ++tag) keys.insert(derive_key(key, tag));
  }
  CHECK(keys.size() == 900);
  CHECK(uniform_from_bits(~uint64_t{0}) < 1.0);
  CHECK(uniform_from_bits(0) == 0.0);
}
