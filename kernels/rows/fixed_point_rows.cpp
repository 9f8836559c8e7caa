// SPDX-License-Identifier: Apache-2.0
// HASHEP_EACH_VECTOR_WIDTH: see row_sums_cpu.cpp.
#include "kernels/rows/fixed_point_rows.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <string>

#include "hashep/error.hpp"
#include "kernels/parallel.hpp"

namespace hashep {
namespace {

constexpr int kWordBits = 32;
constexpr double kWord = 4294967296.0;  // 2^kWordBits
constexpr uint32_t kMagnitude = 0x7fffffff;
constexpr uint32_t kInfinity = 0x7f800000;
constexpr int kMantissaBits = 23;
constexpr int kExponentBias = 127;
constexpr int64_t kElementsPerThread = 16384;

__extension__ using Int128 = __int128;

/// The largest magnitude, as the bits of a float: larger floats have larger bits.
HASHEP_EACH_VECTOR_WIDTH
uint32_t largest_magnitude(const float* __restrict values, int64_t count) {
  uint32_t most = 0;
  for (int64_t i = 0; i < count; ++i) {
    most = std::max(most, std::bit_cast<uint32_t>(values[i]) & kMagnitude);
  }
  return most;
}

/// Integers below 2^51 in magnitude: the sum with 1.5 * 2^52 has them in its last bits.
int64_t integer_of(double whole) {
  constexpr double kShift = 6755399441055744.0;
  return std::bit_cast<int64_t>(whole + kShift) - std::bit_cast<int64_t>(kShift);
}

/// Adds each value, `scale` being 2^(-32 R). All products and differences are exact.
HASHEP_EACH_VECTOR_WIDTH
void add_words(const float* __restrict values, double scale, int64_t count,
               int64_t* __restrict high, int64_t* __restrict low) {
  for (int64_t i = 0; i < count; ++i) {
    const double value = static_cast<double>(values[i]) * scale;
    const double whole = std::trunc(value);
    high[i] += integer_of(whole);
    low[i] += integer_of(std::trunc((value - whole) * kWord));
  }
}

FixedPointRows::Level level_of(uint32_t magnitude) {
  if (magnitude >= kInfinity) return FixedPointRows::kNotFinite;
  if (magnitude == 0) return FixedPointRows::kNoLevel;
  // Subnormal numbers have the least exponent, and the least level.
  const int exponent = std::max(1, static_cast<int>(magnitude >> kMantissaBits)) - kExponentBias;
  return static_cast<FixedPointRows::Level>((exponent + 4 * kWordBits) / kWordBits - 4);
}

}  // namespace

FixedPointRows::FixedPointRows(int64_t rows, int64_t cols)
    : rows_(rows), cols_(cols), levels_(rows, kNoLevel), words_(2 * rows * cols, 0) {}

void FixedPointRows::require_shape(ConstMatrixView matrix) const {
  if (matrix.rows == rows_ && matrix.cols == cols_ && matrix.dtype == DType::f32) return;
  throw RunError("a sum of [" + std::to_string(rows_) + ", " + std::to_string(cols_) +
                 "] in fp32, and a matrix of [" + std::to_string(matrix.rows) + ", " +
                 std::to_string(matrix.cols) + "] in " + std::string(dtype_name(matrix.dtype)));
}

void FixedPointRows::add(ConstMatrixView addend, int threads) {
  require_shape(addend);
  if (addends_ == kMostAddends) {
    throw RunError("a sum of more than " + std::to_string(kMostAddends) + " addends");
  }
  ++addends_;
  const int64_t rows_per_thread = kElementsPerThread / std::max<int64_t>(1, cols_) + 1;
  parallel_ranges(rows_, threads, rows_per_thread, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const auto* values = addend.row_as<float>(row);
      const Level level = level_of(largest_magnitude(values, cols_));
      if (level == kNoLevel) continue;
      raise_row(row, std::max(level, levels_[row]));
      if (levels_[row] == kNotFinite) continue;
      add_words(values, std::ldexp(1.0, -kWordBits * levels_[row]), cols_, high(row),
                high(row) + cols_);
    }
  });
}

void FixedPointRows::raise_row(int64_t row, Level level) {
  const int rise = level - levels_[row];
  if (rise == 0) return;
  levels_[row] = level;
  int64_t* const low = high(row) + cols_;
  if (rise == 1 && level != kNotFinite) {
    std::copy_n(high(row), cols_, low);
  } else {
    std::fill_n(low, cols_, 0);
  }
  std::fill_n(high(row), cols_, 0);
}

void FixedPointRows::raise(std::span<const Level> levels) {
  for (int64_t row = 0; row < rows_; ++row) {
    if (levels[row] < levels_[row]) throw RunError("a sum's row cannot go to a lower level");
    raise_row(row, levels[row]);
  }
}

/// Calls take(value of out, sum) for each element.
template <typename Take>
void FixedPointRows::take_sums(MatrixView out, int threads, const Take& take) const {
  require_shape(out);
  const int64_t rows_per_thread = kElementsPerThread / std::max<int64_t>(1, cols_) + 1;
  parallel_ranges(rows_, threads, rows_per_thread, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      auto* const values = out.row_as<float>(row);
      if (levels_[row] == kNotFinite) {
        std::fill_n(values, cols_, std::numeric_limits<float>::quiet_NaN());
        continue;
      }
      const int64_t* const high = words_.data() + 2 * row * cols_;
      const double unit = std::ldexp(1.0, kWordBits * (levels_[row] - 1));
      for (int64_t i = 0; i < cols_; ++i) {
        const Int128 sum = Int128{high[i]} * (int64_t{1} << kWordBits) + high[cols_ + i];
        take(values[i], static_cast<float>(static_cast<double>(static_cast<float>(sum)) * unit));
      }
    }
  });
}

void FixedPointRows::write(MatrixView out, int threads) const {
  take_sums(out, threads, [](float& value, float sum) { value = sum; });
}

void FixedPointRows::add_to(MatrixView out, int threads) const {
  take_sums(out, threads, [](float& value, float sum) { value += sum; });
}

void FixedPointRows::clear() {
  std::fill(levels_.begin(), levels_.end(), kNoLevel);
  std::fill(words_.begin(), words_.end(), 0);
  addends_ = 0;
}

}  // namespace hashep
