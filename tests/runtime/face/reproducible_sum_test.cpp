// SPDX-License-Identifier: Apache-2.0
// ReproducibleSum: the same bits however addends are dealt to ranks.
#include <algorithm>
#include <bit>
#include <cmath>
#include <hashep/hashep.hpp>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "tests/support/catch.hpp"

using namespace hashep;

namespace {

constexpr int64_t kRows = 7;
constexpr int64_t kCols = 29;
using Matrix = std::vector<float>;

/// As all ranks know them.
std::vector<Matrix> addends() {
  std::mt19937 bits(17);
  std::uniform_real_distribution<float> mantissa(-1.0f, 1.0f);
  std::uniform_int_distribution<int> exponent(-60, 40);
  std::vector<Matrix> all(24, Matrix(kRows * kCols));
  for (Matrix& addend : all) {
    for (float& value : addend) value = std::ldexp(mantissa(bits), exponent(bits));
  }
  return all;
}

bool same_bits(const Matrix& left, const Matrix& right) {
  const auto bits = [](float value) { return std::bit_cast<uint32_t>(value); };
  return std::ranges::equal(left, right, {}, bits, bits);
}

/// The sum where addend i is added by `owner(i)`.
template <typename Owner>
Matrix dealt_sum(ReproducibleSum& sum, const Context& context, const std::vector<Matrix>& all,
                 const Owner& owner) {
  for (size_t i = 0; i < all.size(); ++i) {
    if (owner(static_cast<int>(i)) == context.rank()) sum.add(matrix_view(all[i], kCols));
  }
  Matrix out(kRows * kCols);
  sum.finish(matrix_view(out, kCols));
  return out;
}

/// What the rank that is to report it says of a sum that cannot be made; "another" on the others.
std::string error_of_making(const Context& context, int64_t rows, int64_t cols) {
  try {
    const ReproducibleSum sum(context, rows, cols);
    return "";
  } catch (const InputError& error) {
    return is_reporter(error) ? error.what() : "another";
  }
}

}  // namespace

TEST_CASE("sums are the same bits on all ranks, however addends are dealt to them") {
  const Context context(MPI_COMM_WORLD, {.threads = 2});
  const Context alone(MPI_COMM_SELF, {.threads = 1});
  const std::vector<Matrix> all = addends();
  ReproducibleSum own(alone, kRows, kCols);
  const Matrix expected = dealt_sum(own, alone, all, [](int) { return 0; });
  CHECK(std::ranges::any_of(expected, [](float value) { return value != 0.0f; }));

  ReproducibleSum sum(context, kRows, kCols);
  CHECK(sum.rows() == kRows);
  CHECK(sum.cols() == kCols);
  const int size = context.size();
  CHECK(same_bits(dealt_sum(sum, context, all, [&](int i) { return i % size; }), expected));
  CHECK(same_bits(dealt_sum(sum, context, all, [&](int i) { return i * size / 24; }), expected));
  CHECK(same_bits(dealt_sum(sum, context, all, [&](int) { return size - 1; }), expected));
  // None at all.
  Matrix nothing(kRows * kCols, 5.0f);
  sum.finish(matrix_view(nothing, kCols));
  CHECK(nothing == Matrix(kRows * kCols, 0.0f));
  // One rank's that is no number is everybody's.
  const Matrix twos(kRows * kCols, 2.0f);
  Matrix odd(kRows * kCols, 1.0f);
  odd[2 * kCols + 3] = std::numeric_limits<float>::infinity();
  sum.add(matrix_view(context.rank() == size - 1 ? odd : twos, kCols));
  sum.finish(matrix_view(nothing, kCols));
  for (int64_t i = 0; i < kRows * kCols; ++i) {
    const bool is_odd = i / kCols == 2;
    CHECK((is_odd ? std::isnan(nothing[i])
                  : nothing[i] == 1.0f + 2.0f * static_cast<float>(size - 1)));
  }
}

TEST_CASE("a sum tells what is wrong, and goes on") {
  const Context context(MPI_COMM_WORLD, {.threads = 1});
  const int rank = context.rank();
  const std::string negative = error_of_making(context, 2, rank == 0 ? -1 : 3);
  CHECK(negative == (rank == 0 ? "a sum of 2 x -1 elements" : "another"));
  const std::string other = error_of_making(context, 2, rank == 0 ? 4 : 3);
  if (context.size() == 1) CHECK(other.empty());
  if (rank == 1) CHECK_THAT(other, ContainsSubstring("the shape of a sum: rank 0 has 2 x 4"));
  if (rank > 1) CHECK(other == "another");
  ReproducibleSum sum(context, kRows, kCols);
  Matrix good(kRows * kCols, 1.0f);
  CHECK_THROWS_AS(sum.add(matrix_view(good, 1)), InputError);
  std::vector<BFloat16> narrow(kRows * kCols);
  CHECK_THROWS_WITH(sum.add(matrix_view(narrow, kCols)), ContainsSubstring("bf16"));
  CHECK_THROWS_WITH(sum.add({nullptr, DType::f32, kRows, kCols}), ContainsSubstring("null"));
  CHECK_THROWS_AS(sum.finish(matrix_view(good, 1)), InputError);
  sum.add(matrix_view(good, kCols));
  ReproducibleSum moved = std::move(sum);
  moved.finish(matrix_view(good, kCols));
  CHECK(good == Matrix(kRows * kCols, static_cast<float>(context.size())));
  ReproducibleSum empty(context, 0, 5);
  empty.add({nullptr, DType::f32, 0, 5});
  empty.finish({nullptr, DType::f32, 0, 5});
}

TEST_CASE("a sum that a rank does not come to ends at the deadline, and harms nothing after it") {
  int size = 1;
  MPI_Comm_size(MPI_COMM_WORLD, &size);
  if (size == 1) return;
  {
    const Context context(MPI_COMM_WORLD, {.deadline = std::chrono::seconds(2), .threads = 1});
    ReproducibleSum sum(context, kRows, kCols);
    Matrix values(kRows * kCols, 1.0f);
    sum.add(matrix_view(values, kCols));
    if (context.rank() != 0) {
      CHECK_THROWS_AS(sum.finish(matrix_view(values, kCols)), RunError);
      CHECK_THROWS_WITH(sum.finish(matrix_view(values, kCols)),
                        ContainsSubstring("an earlier call failed"));
    }
  }
  MPI_Barrier(MPI_COMM_WORLD);
  const Context again(MPI_COMM_WORLD, {.threads = 1});
  ReproducibleSum sum(again, 1, 1);
  Matrix one(1, 1.0f);
  sum.add(matrix_view(one, 1));
  sum.finish(matrix_view(one, 1));
  CHECK(one.front() == static_cast<float>(size));
}
