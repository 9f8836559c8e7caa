// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <span>
#include <vector>

#include "hashep/tensor_view.hpp"

namespace hashep {

/// Sums of fp32 matrices in fixed point: the same whatever the order of the addends, and however
/// they are grouped. docs/reproducible-sums.md has the definition, and proves its error bound.
///
/// A row has a level R: the magnitudes of all its addends are below 2^(32 (R + 1)), R being as low
/// as that allows. An element is added as the integer trunc(x / 2^(32 (R - 1))), in two words: its
/// multiple of 2^32, and what is left. When an addend raises the level by one, what were high words
/// are the low ones, exactly what the earlier addends would have left at the higher level; when by
/// more, they would have left nothing. So no result depends on when the level rose.
class FixedPointRows {
 public:
  using Level = int8_t;
  /// Of a row without addends but zeros.
  static constexpr Level kNoLevel = -5;
  /// Of a row one of whose addends was infinite or no number: below it are the levels of fp32.
  static constexpr Level kNotFinite = 4;
  /// Addends of all ranks that words have room for.
  static constexpr int64_t kMostAddends = std::numeric_limits<int32_t>::max();

  FixedPointRows(int64_t rows, int64_t cols);

  /// Adds [rows, cols] in f32. Throws RunError where the shape is another, or there are too many
  /// addends.
  void add(ConstMatrixView addend, int threads);

  /// Each row's. [rows]
  std::span<const Level> levels() const { return levels_; }
  /// Raises each row to a level not below its own. levels: [rows]
  void raise(std::span<const Level> levels);

  /// [rows, 2, cols]: each row's high words, then its low ones. Those of other sums may be added
  /// where all levels are equal.
  std::span<int64_t> words() { return words_; }
  int64_t addends() const { return addends_; }

  /// out <- the sums, each rounded to f32; NaN in rows that are not finite. out: [rows, cols]
  void write(MatrixView out, int threads) const;
  /// out <- out + the sums, which are rounded to f32 first.
  void add_to(MatrixView out, int threads) const;

  /// No addends.
  void clear();

 private:
  int64_t* high(int64_t row) { return words_.data() + 2 * row * cols_; }
  void raise_row(int64_t row, Level level);
  void require_shape(ConstMatrixView matrix) const;
  template <typename Take>
  void take_sums(MatrixView out, int threads, const Take& take) const;

  int64_t rows_;
  int64_t cols_;
  std::vector<Level> levels_;
  std::vector<int64_t> words_;
  int64_t addends_ = 0;
};

}  // namespace hashep
