// SPDX-License-Identifier: Apache-2.0
#include "kernels/rows/fixed_point_rows.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <random>
#include <span>
#include <vector>

#include "hashep/error.hpp"
#include "hashep/matrix_view.hpp"
#include "tests/support/catch.hpp"

using namespace hashep;

namespace {

__extension__ using Int128 = __int128;

constexpr int64_t kCols = 37;  // no multiple of a vector

/// The exact sum of floats that are multiples of 2^-60 and below 2^40, as a rational number.
class ExactSum {
 public:
  void add(float value) { units_ += static_cast<Int128>(std::ldexp(value, 60)); }
  /// How far `value` is from it.
  double distance(float value) const {
    const Int128 difference = units_ - static_cast<Int128>(std::ldexp(value, 60));
    return std::abs(std::ldexp(static_cast<double>(difference), -60));
  }
  /// The nearest float.
  float rounded() const { return std::ldexp(static_cast<float>(units_), -60); }

 private:
  Int128 units_ = 0;
};

using Rows = std::vector<float>;

Rows sum_of(const std::vector<Rows>& addends, int threads = 1) {
  const auto rows = static_cast<int64_t>(addends.front().size()) / kCols;
  FixedPointRows sums(rows, kCols);
  for (const Rows& addend : addends) sums.add(matrix_view(addend, kCols), threads);
  Rows out(addends.front().size());
  sums.write(matrix_view(out, kCols), threads);
  return out;
}

/// The sum of two groups' sums, as two ranks make it.
Rows sum_of_groups(std::span<const Rows> first, std::span<const Rows> second) {
  const auto rows = static_cast<int64_t>(first.front().size()) / kCols;
  FixedPointRows left(rows, kCols);
  FixedPointRows right(rows, kCols);
  for (const Rows& addend : first) left.add(matrix_view(addend, kCols), 1);
  for (const Rows& addend : second) right.add(matrix_view(addend, kCols), 1);
  std::vector<FixedPointRows::Level> levels(rows);
  for (int64_t i = 0; i < rows; ++i) levels[i] = std::max(left.levels()[i], right.levels()[i]);
  left.raise(levels);
  right.raise(levels);
  for (size_t i = 0; i < left.words().size(); ++i) left.words()[i] += right.words()[i];
  Rows out(first.front().size());
  left.write(matrix_view(out, kCols), 1);
  return out;
}

/// Addends whose magnitudes are spread over 2^least to 2^most.
std::vector<Rows> random_addends(int64_t count, int64_t rows, int least, int most, unsigned seed) {
  std::mt19937 bits(seed);
  std::uniform_real_distribution<float> mantissa(-1.0f, 1.0f);
  std::uniform_int_distribution<int> exponent(least, most);
  std::vector<Rows> addends(count, Rows(rows * kCols));
  for (Rows& addend : addends) {
    for (float& value : addend) value = std::ldexp(mantissa(bits), exponent(bits));
  }
  return addends;
}

bool same_bits(const Rows& left, const Rows& right) {
  return std::ranges::equal(
      left, right, {}, [](float v) { return std::bit_cast<uint32_t>(v); },
      [](float v) { return std::bit_cast<uint32_t>(v); });
}

}  // namespace

TEST_CASE("sums of rows are within their bound of the exact ones") {
  for (const auto& [least, most] : {std::pair{-16, -14}, {-16, 38}, {0, 1}, {20, 38}, {-10, 10}}) {
    const int64_t rows = 3;
    const int64_t count = 200;
    const auto addends = random_addends(count, rows, least, most, 7);
    const Rows sums = sum_of(addends);
    for (int64_t row = 0; row < rows; ++row) {
      double largest = 0.0;
      for (const Rows& addend : addends) {
        for (int64_t i = 0; i < kCols; ++i) {
          largest = std::max<double>(largest, std::abs(addend[row * kCols + i]));
        }
      }
      const double bound = static_cast<double>(count) * std::ldexp(largest, -32);
      for (int64_t i = row * kCols; i < (row + 1) * kCols; ++i) {
        ExactSum exact;
        for (const Rows& addend : addends) exact.add(addend[i]);
        const double rounding = std::ldexp(std::abs(sums[i]), -24);
        CHECK(exact.distance(sums[i]) <= bound + rounding);
      }
    }
  }
}

TEST_CASE("addends that end above the last unit are summed exactly, and rounded once") {
  auto addends = random_addends(100, 2, 0, 4, 3);
  addends.front().front() = 1.5f;  // level 0 at least: units of 2^-32
  addends.front().back() = 1.5f;
  for (Rows& addend : addends) {
    for (float& value : addend) value = std::ldexp(std::trunc(std::ldexp(value, 30)), -30);
  }
  const Rows sums = sum_of(addends);
  for (size_t i = 0; i < sums.size(); ++i) {
    ExactSum exact;
    for (const Rows& addend : addends) exact.add(addend[i]);
    CHECK(sums[i] == exact.rounded());
  }
}

TEST_CASE("the order of addends, their groups and the threads change no bit") {
  // Levels rise in the middle: by one, by more, and from none.
  for (const auto& [least, most] : {std::pair{-140, 120}, {-40, 40}, {-3, 3}, {-149, -120}}) {
    // All but the smaller half cancels, so that the last units show.
    auto addends = random_addends(20, 5, least, most, 11);
    for (int i = 0; i < 20; ++i) {
      Rows& minus = addends.emplace_back(addends[i]);
      for (float& value : minus) value = -value;
    }
    for (const Rows& small : random_addends(20, 5, least, (least + most) / 2, 12)) {
      addends.push_back(small);
    }
    std::fill_n(addends[4].begin(), kCols, 0.0f);
    const Rows expected = sum_of(addends);
    CHECK(same_bits(sum_of(addends, 3), expected));
    std::mt19937 bits(5);
    for (int time = 0; time < 20; ++time) {
      std::shuffle(addends.begin(), addends.end(), bits);
      CHECK(same_bits(sum_of(addends), expected));
      const auto cut = 1 + bits() % (addends.size() - 1);
      CHECK(same_bits(sum_of_groups(std::span(addends).first(cut), std::span(addends).subspan(cut)),
                      expected));
    }
    // The largest first, and last: the levels rise at once, or step by step.
    const auto magnitude = [](const Rows& addend) {
      return std::abs(
          *std::ranges::max_element(addend, {}, [](float value) { return std::abs(value); }));
    };
    std::ranges::sort(addends, {}, magnitude);
    CHECK(same_bits(sum_of(addends), expected));
    std::ranges::reverse(addends);
    CHECK(same_bits(sum_of(addends), expected));
  }
}

TEST_CASE("addends below a unit leave nothing, in any order") {
  Rows small(kCols, -0x1.0p-33f);
  Rows large(kCols, 0x1.0p70f);
  Rows minus(kCols, -0x1.0p70f);
  const Rows first = sum_of({small, small, large, minus});
  CHECK(same_bits(first, sum_of({large, small, minus, small})));
  CHECK(first.front() == 0.0f);
  CHECK(sum_of({small, small}).front() == -0x1.0p-32f);
  const Rows most_of_a_unit(kCols, 0.75f);  // of the level of 2^33
  const Rows next(kCols, 0x1.0p33f);
  const Rows minus_next(kCols, -0x1.0p33f);
  CHECK(sum_of({most_of_a_unit, next, minus_next}).front() == 0.0f);
  CHECK(sum_of({next, most_of_a_unit, minus_next}).front() == 0.0f);
}

TEST_CASE("extremes: the largest floats, subnormal ones, none, and what is no number") {
  const float largest = std::numeric_limits<float>::max();
  const float least = std::numeric_limits<float>::denorm_min();
  CHECK(sum_of({Rows(kCols, largest), Rows(kCols, -largest)}).front() == 0.0f);
  CHECK(sum_of({Rows(kCols, largest), Rows(kCols, largest)}).front() ==
        std::numeric_limits<float>::infinity());
  CHECK(sum_of({Rows(kCols, largest), Rows(kCols, largest), Rows(kCols, -largest)}).front() ==
        largest);
  CHECK(sum_of({Rows(kCols, least), Rows(kCols, least)}).front() == 2 * least);
  CHECK(sum_of({Rows(kCols, -0.0f)}).front() == 0.0f);
  for (const float odd : {std::numeric_limits<float>::infinity(),
                          -std::numeric_limits<float>::infinity(), std::nanf("")}) {
    Rows addend(2 * kCols, 1.0f);
    addend[5] = odd;
    for (const Rows& sums :
         {sum_of({addend, Rows(2 * kCols, 2.0f)}), sum_of({Rows(2 * kCols, 2.0f), addend})}) {
      CHECK(std::isnan(sums.front()));
      CHECK(std::isnan(sums[kCols - 1]));
      CHECK(sums[kCols] == 3.0f);
    }
  }
  FixedPointRows none(2, kCols);
  Rows out(2 * kCols, 7.0f);
  none.write(matrix_view(out, kCols), 1);
  CHECK(out == Rows(2 * kCols, 0.0f));
  const Rows fives(2 * kCols, 5.0f);
  none.add(matrix_view(fives, kCols), 2);
  none.clear();
  none.write(matrix_view(out, kCols), 1);
  CHECK(out == Rows(2 * kCols, 0.0f));
}

TEST_CASE("a sum refuses other shapes and lower levels") {
  FixedPointRows sums(2, kCols);
  const Rows good(2 * kCols, 1.0f);
  Rows other(3 * kCols);
  CHECK_THROWS_AS(sums.add(matrix_view(other, kCols), 1), RunError);
  CHECK_THROWS_AS(sums.write(matrix_view(other, kCols), 1), RunError);
  sums.add(matrix_view(good, kCols), 1);
  const std::vector<FixedPointRows::Level> lower(2, FixedPointRows::kNoLevel);
  CHECK_THROWS_AS(sums.raise(lower), RunError);
}
