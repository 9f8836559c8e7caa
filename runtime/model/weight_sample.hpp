// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <span>

#include "hashep/ffn_shape.hpp"
#include "hashep/tensor_view.hpp"

namespace hashep {

/// Digests by which ranks compare what they have read: XXH64 of stored bytes.

/// Of all of them; of what is quantised, of codes and scales.
uint64_t content_digest(ConstMatrixView matrix, uint64_t seed = 0);
uint64_t content_digest(const FfnWeights& weights);

/// Of some rows of each matrix of one expert, expanded where they are quantised (MatrixRows): at
/// most kRows of a matrix, and of each at most kBytes. Which rows follows from layer, expert and
/// sizes.
class WeightSample {
 public:
  static constexpr int64_t kRows = 4;
  static constexpr int64_t kBytes = 4096;
  /// Fills `out` with the first bytes of a row.
  using ReadRow = std::function<void(int64_t row, std::span<std::byte> out)>;

  WeightSample(int64_t layer, int64_t expert);

  /// The next matrix: w1, w2, w3, each followed by its bias where there is one.
  void add(DType dtype, int64_t rows, int64_t cols, const ReadRow& read);
  void add(ConstMatrixView matrix);
  void add(const QuantisedView& matrix);
  uint64_t value() const { return value_; }

 private:
  uint64_t key_;
  uint64_t matrices_ = 0;
  uint64_t value_ = 0;
};

/// The sample of an expert that is in memory.
uint64_t weight_sample(const FfnWeights& weights, int64_t layer, int64_t expert);

}  // namespace hashep
