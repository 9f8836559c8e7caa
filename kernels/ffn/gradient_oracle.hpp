// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "hashep/ffn_shape.hpp"
#include "hashep/stack_shape.hpp"
#include "hashep/tensor_view.hpp"

namespace hashep {

// Layers and their gradients in double, one token at a time, in plain loops: nothing of it is
// shared with the kernels. gradient_oracle_test holds its gradients to central differences.

using Doubles = std::vector<double>;

/// A matrix [rows, cols] in doubles.
Doubles doubles_of(ConstMatrixView matrix);
/// The same, each value rounded to dtype first.
Doubles doubles_of(ConstMatrixView matrix, DType dtype);

/// An FFN's parameters, or their gradients; those that there are not are empty.
struct OracleFfn {
  Doubles w1, w2, w3, bias1, bias2, bias3;

  OracleFfn() = default;
  /// Weights rounded to dtype; biases as they are.
  OracleFfn(const FfnWeights& weights, DType dtype);
  /// Zeros of the same sizes.
  OracleFfn zeros() const;
};

/// y = FFN(x), one token.
Doubles oracle_ffn(const FfnShape& shape, const OracleFfn& ffn, std::span<const double> x);

/// Adds to `gradients` those of the parameters and to dx that of x, both for w * FFN(x) with
/// gradient dy, at pre-activations that are rounded to `kept`. Returns the gradient of w:
/// <dy, FFN(x)>.
double oracle_ffn_backward(const FfnShape& shape, const OracleFfn& ffn, std::span<const double> x,
                           std::span<const double> dy, double w, OracleFfn& gradients,
                           std::span<double> dx, DType kept = DType::f32);

/// A layer's parameters, or their gradients.
struct OracleLayer {
  std::vector<OracleFfn> experts;  // [num_experts]
  OracleFfn shared;
  Doubles gate;  // [num_experts, d]

  OracleLayer zeros() const;
};

/// A stack of layers of a StackShape.
struct OracleStack {
  StackShape shape;
  bool residual = true;
  std::vector<OracleLayer> layers;

  /// What the tokens x [tokens, d] become; experts: of each layer, [tokens, top_k], -1: padding.
  Doubles forward(std::span<const std::vector<int32_t>> experts, Doubles x) const;
  /// The gradient of x where dy is that of forward's result; adds those of parameters to
  /// `gradients`, which has as many layers.
  Doubles backward(std::span<const std::vector<int32_t>> experts, const Doubles& x,
                   const Doubles& dy, OracleStack& gradients) const;
  OracleStack zeros() const;

 private:
  Doubles layer_work(int64_t layer, std::span<const int32_t> experts, const Doubles& x) const;
};

/// |a - b| / |b| in Euclidean norms; |a| where b is zero.
double distance(std::span<const double> a, std::span<const double> b);
double distance(std::span<const float> a, std::span<const double> b);

}  // namespace hashep
