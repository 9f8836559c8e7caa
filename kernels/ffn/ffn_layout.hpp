// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "hashep/ffn_shape.hpp"
#include "hashep/tensor_view.hpp"

namespace hashep {

/// Columns of an FFN's pre-activations: those of w1, and behind them with silu those of w3.
inline int64_t preactivation_size(const FfnShape& shape) {
  return shape.activation == Activation::silu ? 2 * shape.ffn_size : shape.ffn_size;
}

/// Which biases an FFN has.
struct FfnBiases {
  bool in = false;   // bias1, and with silu bias3
  bool out = false;  // bias2

  bool operator==(const FfnBiases&) const = default;
};

/// How the parameters of one FFN stand in one array of floats: W1 and W3 one below the other, as
/// one matrix W_in [preactivation_size, hidden_size], then W2, then the biases in the same order.
struct FfnLayout {
  FfnShape shape;
  FfnBiases biases;

  int64_t in_size() const { return preactivation_size(shape); }
  // Where they begin.
  int64_t w_out() const { return in_size() * shape.hidden_size; }
  int64_t bias_in() const { return w_out() + shape.hidden_size * shape.ffn_size; }
  int64_t bias_out() const { return bias_in() + (biases.in ? in_size() : 0); }
  /// Floats of all.
  int64_t size() const { return bias_out() + (biases.out ? shape.hidden_size : 0); }

  /// The matrices by the names that checkpoints have; those that there are not are empty.
  template <typename Byte>
  struct Views {
    BasicMatrixView<Byte> w1, w2, w3, bias1, bias2, bias3;
  };
  template <typename Byte>
  Views<Byte> views(Byte* first) const {
    const auto matrix = [&](int64_t begin, int64_t rows, int64_t cols) {
      return BasicMatrixView<Byte>{first + begin * dtype_size(DType::f32), DType::f32, rows, cols};
    };
    const int64_t d = shape.hidden_size;
    const int64_t f = shape.ffn_size;
    const bool gated = shape.activation == Activation::silu;
    Views<Byte> of;
    of.w1 = matrix(0, f, d);
    if (gated) of.w3 = matrix(f * d, f, d);
    of.w2 = matrix(w_out(), d, f);
    if (biases.in) of.bias1 = matrix(bias_in(), 1, f);
    if (biases.in && gated) of.bias3 = matrix(bias_in() + f, 1, f);
    if (biases.out) of.bias2 = matrix(bias_out(), 1, d);
    return of;
  }
};

}  // namespace hashep
