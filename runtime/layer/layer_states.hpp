// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "hashep/tensor_view.hpp"

namespace hashep {

/// Hidden states of some tokens of a rank before, between and after layers, kept to be compared
/// with the oracle's: a layer by itself can be held to closer bounds than many, as errors of
/// earlier layers grow in later ones.
class LayerStates {
 public:
  /// tokens: their indices on this rank.
  explicit LayerStates(std::vector<int64_t> tokens) : tokens_(std::move(tokens)) {}

  /// x: [all tokens of the rank, hidden_size], the input first, then what each layer left.
  void add(ConstMatrixView x) {
    const auto width = static_cast<size_t>(x.cols);
    std::vector<float> rows(tokens_.size() * width);
    for (size_t i = 0; i < tokens_.size(); ++i) {
      convert_to_float(x.dtype, x.row(tokens_[i]), x.cols, rows.data() + i * width);
    }
    states_.push_back(std::move(rows));
  }

  std::span<const int64_t> tokens() const { return tokens_; }
  /// Each [tokens().size(), hidden_size].
  std::span<const std::vector<float>> states() const { return states_; }

 private:
  std::vector<int64_t> tokens_;
  std::vector<std::vector<float>> states_;
};

}  // namespace hashep
