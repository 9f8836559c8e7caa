// SPDX-License-Identifier: Apache-2.0
#include "kernels/oracle.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace hashep {
namespace {

double rounded(double value, DType dtype) {
  const auto single = static_cast<float>(value);
  return dtype == DType::bf16 ? static_cast<float>(BFloat16(single)) : single;
}

std::vector<float> row_of(ConstMatrixView matrix, int64_t row) {
  std::vector<float> values(static_cast<size_t>(matrix.cols));
  convert_to_float(matrix.dtype, matrix.row(row), matrix.cols, values.data());
  return values;
}

/// W x + bias in double, with W's elements rounded to dtype. An empty bias is zero.
std::vector<double> linear(ConstMatrixView weights, ConstMatrixView bias, DType dtype,
                           std::span<const double> x) {
  std::vector<double> result;
  const std::vector<float> biases = bias.rows > 0 ? row_of(bias, 0) : std::vector<float>{};
  for (int64_t row = 0; row < weights.rows; ++row) {
    double sum = biases.empty() ? 0.0 : biases[static_cast<size_t>(row)];
    const std::vector<float> weight = row_of(weights, row);
    for (size_t i = 0; i < weight.size(); ++i) sum += rounded(weight[i], dtype) * x[i];
    result.push_back(sum);
  }
  return result;
}

double silu(double z) {
  return z / (1.0 + std::exp(-z));
}

double gelu(double z) {
  return 0.5 * z * (1.0 + std::erf(z / std::numbers::sqrt2));
}

}  // namespace

std::vector<float> oracle_expert(const FfnShape& shape, DType dtype, const FfnWeights& weights,
                                 std::span<const float> x) {
  const std::vector<double> input(x.begin(), x.end());
  std::vector<double> hidden = linear(weights.w1, weights.bias1, dtype, input);
  if (shape.activation == Activation::relu) {
    for (double& h : hidden) h = std::max(h, 0.0);
  } else if (shape.activation == Activation::gelu) {
    for (double& h : hidden) h = gelu(h);
  } else {
    const double limit = shape.swiglu_limit;
    std::vector<double> up = linear(weights.w3, weights.bias3, dtype, input);
    for (size_t i = 0; i < hidden.size(); ++i) {
      if (limit > 0.0) {
        hidden[i] = std::min(hidden[i], limit);
        up[i] = std::clamp(up[i], -limit, limit);
      }
      hidden[i] = silu(hidden[i]) * up[i];
    }
  }
  if (dtype == DType::bf16) {
    for (double& h : hidden) h = rounded(h, dtype);
  }
  std::vector<float> result;
  for (const double sum : linear(weights.w2, weights.bias2, dtype, hidden)) {
    result.push_back(static_cast<float>(rounded(sum, dtype)));
  }
  return result;
}

std::vector<float> oracle_gate_weights(ConstMatrixView gate, std::span<const int32_t> experts,
                                       float scale, std::span<const float> x) {
  std::vector<double> scores;
  double sum = 0.0;
  for (const int32_t expert : experts) {
    double score = 0.0;
    if (expert >= 0) {
      const std::vector<float> weight = row_of(gate, expert);
      double z = 0.0;
      for (size_t i = 0; i < weight.size(); ++i) z += double{weight[i]} * double{x[i]};
      score = std::sqrt(std::log1p(std::exp(-std::abs(z))) + std::max(z, 0.0));
    }
    scores.push_back(score);
    sum += score;
  }
  std::vector<float> weights;
  for (const double score : scores) {
    weights.push_back(static_cast<float>(score / (sum + 1e-20) * double{scale}));
  }
  return weights;
}

}  // namespace hashep
