// SPDX-License-Identifier: Apache-2.0
// Values with bounds: what fp32 and bf16 make of them is within.
#include "kernels/ffn/bounded.hpp"

#include <cmath>
#include <vector>

#include "core/random.hpp"
#include "tests/support/catch.hpp"

namespace hashep::test {
namespace {

std::vector<float> normals(uint64_t key, size_t count) {
  std::vector<float> values(count);
  fill_normal(key, 0, values);
  return values;
}

/// The sum of products in fp32, in `lanes` interleaved parts.
float sum_in_lanes(const std::vector<float>& w, const std::vector<float>& x, size_t lanes) {
  std::vector<float> parts(lanes);
  for (size_t i = 0; i < w.size(); ++i) parts[i % lanes] += w[i] * x[i];
  float sum = 0.0f;
  for (const float part : parts) sum += part;
  return sum;
}

}  // namespace

TEST_CASE("sums of products in fp32 are within their bounds, which are below gamma_n's") {
  for (const size_t count : {1, 7, 100, 4000}) {
    for (uint64_t key = 0; key < 20; ++key) {
      std::vector<float> w = normals(key, count);
      std::vector<float> x = normals(key + 1000, count);
      // Signs at random, all alike, and taking turns: partial sums grow in one order or in the
      // other.
      for (size_t i = 0; i < count && key >= 10; ++i) {
        x[i] = std::abs(x[i]);
        w[i] = key >= 15 && i % 2 == 1 ? -std::abs(w[i]) : std::abs(w[i]);
      }
      const Bounded sum = BoundedOperands(exact_values(x)).dot(w, 0.0);
      CHECK(sum.spread == 0.0);
      double magnitude = 0.0;
      for (size_t i = 0; i < count; ++i) magnitude += std::abs(double{w[i]} * x[i]);
      const double roundings = 2.0 * static_cast<double>(count) + 32.0;
      CHECK(sum.most <= kUnit * roundings * magnitude + 1e-30);
      for (const size_t lanes : {1, 4, 8, 16, 32}) {
        INFO(count << " products, " << lanes << " lanes, key " << key);
        CHECK(std::abs(sum_in_lanes(w, x, lanes) - sum.value) <= sum.most);
      }
    }
  }
}

TEST_CASE("errors of operands go into sums: as roots of squares, or added where they are alike") {
  const std::vector<float> w = {3.0f, -4.0f};
  const std::vector<Bounded> apart = {{1.0, 0.0, 1e-3}, {1.0, 0.0, 1e-3}};
  CHECK_THAT(BoundedOperands(apart).dot(w, 0.0).spread, Catch::Matchers::WithinRel(5e-3, 1e-9));
  const std::vector<Bounded> alike = {{1.0, 1e-3, 0.0}, {-1.0, 1e-3, 0.0}};
  CHECK_THAT(BoundedOperands(alike).dot(w, 0.0).spread, Catch::Matchers::WithinRel(7e-3, 1e-9));
}

TEST_CASE("roundings to bf16 differ by nothing, or by a unit where a bound reaches over an edge") {
  // 1 and 1 + 2^-7 are neighbours; between them is 1 + 2^-8.
  CHECK(rounded({1.001, 0.0, 1e-3}, DType::bf16) == Bounded{1.0, 0.0, 0.0});
  CHECK(rounded({1.0035, 0.0, 1e-3}, DType::bf16) == Bounded{1.0, 0.0, 0x1.0p-7});
  CHECK(rounded({1.0035, 1e-3, 0.0}, DType::bf16) == Bounded{1.0, 0.0, 0x1.0p-7});
  const Bounded wide = rounded({1.0, 0.1, 0.0}, DType::bf16);
  CHECK(wide.spread == 0.1);
  CHECK(wide.most < 0.02);
  CHECK(rounded({1.0035, 0.1, 0.2}, DType::f32) == Bounded{1.0035, 0.1, 0.2});
}

TEST_CASE("a product's bound holds at all corners of its factors' bounds") {
  const Bounded a{3.0, 0.01, 0.02};
  const Bounded b{-2.0, 0.03, 0.01};
  const Bounded both = product(a, b);
  for (const double da : {-a.reach(), a.reach()}) {
    for (const double db : {-b.reach(), b.reach()}) {
      CHECK(std::abs((a.value + da) * (b.value + db) - both.value) <= both.reach());
    }
  }
}

}  // namespace hashep::test
