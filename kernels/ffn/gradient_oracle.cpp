// SPDX-License-Identifier: Apache-2.0
#include "kernels/ffn/gradient_oracle.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace hashep {
namespace {

double sigmoid(double z) {
  return 1.0 / (1.0 + std::exp(-z));
}

double softplus(double z) {
  return std::max(z, 0.0) + std::log1p(std::exp(-std::abs(z)));
}

/// The function of a pre-activation, and its derivative.
struct Function {
  double value = 0.0;
  double slope = 0.0;
};

Function apply(Activation activation, double z) {
  switch (activation) {
    case Activation::relu:
      return {std::max(z, 0.0), z > 0.0 ? 1.0 : 0.0};
    case Activation::gelu: {
      const double phi = 0.5 * std::erfc(-z / std::numbers::sqrt2);
      const double density = std::exp(-0.5 * z * z) / std::sqrt(2.0 * std::numbers::pi);
      return {z * phi, phi + z * density};
    }
    case Activation::silu:
      break;
  }
  return {z * sigmoid(z), sigmoid(z) * (1.0 + z * (1.0 - sigmoid(z)))};
}

double dot(std::span<const double> a, std::span<const double> b) {
  double sum = 0.0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

std::span<const double> row(const Doubles& matrix, size_t index, size_t cols) {
  return std::span(matrix).subspan(index * cols, cols);
}

Doubles linear(const Doubles& w, const Doubles& bias, std::span<const double> x) {
  Doubles y(w.size() / x.size());
  for (size_t i = 0; i < y.size(); ++i) {
    y[i] = dot(row(w, i, x.size()), x) + (bias.empty() ? 0.0 : bias[i]);
  }
  return y;
}

/// The gradients of y = W x + bias.
void linear_backward(const Doubles& w, std::span<const double> x, std::span<const double> dy,
                     Doubles& dw, Doubles& dbias, std::span<double> dx) {
  for (size_t i = 0; i < dy.size(); ++i) {
    for (size_t j = 0; j < x.size(); ++j) {
      dw[i * x.size() + j] += dy[i] * x[j];
      dx[j] += dy[i] * w[i * x.size() + j];
    }
    if (!dbias.empty()) dbias[i] += dy[i];
  }
}

/// What is between the two linear layers, of one token.
struct Hidden {
  Doubles z1, z3, h;
};

Hidden hidden_of(const FfnShape& shape, const OracleFfn& ffn, std::span<const double> x,
                 DType kept = DType::f32) {
  Hidden of{linear(ffn.w1, ffn.bias1, x), {}, {}};
  const double limit = shape.swiglu_limit > 0.0f ? shape.swiglu_limit : HUGE_VAL;
  if (shape.activation == Activation::silu) of.z3 = linear(ffn.w3, ffn.bias3, x);
  if (kept == DType::bf16) {
    for (double& z : of.z1) z = static_cast<float>(BFloat16(static_cast<float>(z)));
    for (double& z : of.z3) z = static_cast<float>(BFloat16(static_cast<float>(z)));
  }
  for (size_t i = 0; i < of.z1.size(); ++i) {
    if (of.z3.empty()) {
      of.h.push_back(apply(shape.activation, of.z1[i]).value);
    } else {
      of.h.push_back(apply(shape.activation, std::min(of.z1[i], limit)).value *
                     std::clamp(of.z3[i], -limit, limit));
    }
  }
  return of;
}

/// The weights of a token's choices.
Doubles choice_weights(const StackShape& shape, const Doubles& gate,
                       std::span<const int32_t> experts, std::span<const double> x) {
  if (shape.score == Score::none) {
    return Doubles(experts.size(), 1.0 / static_cast<double>(experts.size()));
  }
  Doubles scores;
  double total = 1e-20;
  for (const int32_t expert : experts) {
    scores.push_back(std::sqrt(softplus(dot(row(gate, static_cast<size_t>(expert), x.size()), x))));
    total += scores.back();
  }
  for (double& score : scores) {
    score *= static_cast<double>(shape.routed_scaling_factor) / total;
  }
  return scores;
}

/// The gradients of x and of the gate where those of the weights are dw.
void choice_weights_backward(const StackShape& shape, const Doubles& gate,
                             std::span<const int32_t> experts, std::span<const double> x,
                             const Doubles& dw, Doubles& dgate, std::span<double> dx) {
  if (shape.score == Score::none) return;
  Doubles logits;
  Doubles scores;
  double total = 1e-20;
  for (const int32_t expert : experts) {
    logits.push_back(dot(row(gate, static_cast<size_t>(expert), x.size()), x));
    scores.push_back(std::sqrt(softplus(logits.back())));
    total += scores.back();
  }
  const double scale = shape.routed_scaling_factor;
  for (size_t j = 0; j < experts.size(); ++j) {
    // w_i = scale s_i / total: d w_i / d s_j = scale ([i = j] / total - s_i / total^2).
    double dscore = 0.0;
    for (size_t i = 0; i < experts.size(); ++i) {
      dscore += dw[i] * scale * ((i == j ? 1.0 / total : 0.0) - scores[i] / (total * total));
    }
    const double dlogit = dscore * sigmoid(logits[j]) / (2.0 * scores[j]);
    const auto first = static_cast<size_t>(experts[j]) * x.size();
    for (size_t c = 0; c < x.size(); ++c) {
      dgate[first + c] += dlogit * x[c];
      dx[c] += dlogit * gate[first + c];
    }
  }
}

}  // namespace

Doubles doubles_of(ConstMatrixView matrix) {
  return doubles_of(matrix, DType::f32);
}

Doubles doubles_of(ConstMatrixView matrix, DType dtype) {
  std::vector<float> floats(static_cast<size_t>(matrix.rows * matrix.cols));
  if (!floats.empty()) {
    convert_to_float(matrix.dtype, matrix.data, std::ssize(floats), floats.data());
  }
  if (dtype == DType::bf16) {
    for (float& value : floats) value = static_cast<float>(BFloat16(value));
  }
  return {floats.begin(), floats.end()};
}

OracleFfn::OracleFfn(const FfnWeights& weights, DType dtype)
    : w1(doubles_of(weights.w1, dtype)),
      w2(doubles_of(weights.w2, dtype)),
      w3(doubles_of(weights.w3, dtype)),
      bias1(doubles_of(weights.bias1)),
      bias2(doubles_of(weights.bias2)),
      bias3(doubles_of(weights.bias3)) {}

OracleFfn OracleFfn::zeros() const {
  OracleFfn of = *this;
  for (Doubles* matrix : {&of.w1, &of.w2, &of.w3, &of.bias1, &of.bias2, &of.bias3}) {
    matrix->assign(matrix->size(), 0.0);
  }
  return of;
}

Doubles oracle_ffn(const FfnShape& shape, const OracleFfn& ffn, std::span<const double> x) {
  return linear(ffn.w2, ffn.bias2, hidden_of(shape, ffn, x).h);
}

double oracle_ffn_backward(const FfnShape& shape, const OracleFfn& ffn, std::span<const double> x,
                           std::span<const double> dy, double w, OracleFfn& gradients,
                           std::span<double> dx, DType kept) {
  const Hidden hidden = hidden_of(shape, ffn, x, kept);
  const double product = dot(dy, linear(ffn.w2, ffn.bias2, hidden.h));
  Doubles weighted(dy.begin(), dy.end());
  for (double& value : weighted) value *= w;
  Doubles dh(hidden.h.size());
  linear_backward(ffn.w2, hidden.h, weighted, gradients.w2, gradients.bias2, dh);
  Doubles dz1(dh.size());
  Doubles dz3(hidden.z3.size());
  const double limit = shape.swiglu_limit > 0.0f ? shape.swiglu_limit : HUGE_VAL;
  for (size_t i = 0; i < dh.size(); ++i) {
    if (hidden.z3.empty()) {
      dz1[i] = dh[i] * apply(shape.activation, hidden.z1[i]).slope;
      continue;
    }
    const Function gate = apply(shape.activation, std::min(hidden.z1[i], limit));
    const double up = std::clamp(hidden.z3[i], -limit, limit);
    dz1[i] = hidden.z1[i] > limit ? 0.0 : dh[i] * up * gate.slope;
    dz3[i] = std::abs(hidden.z3[i]) > limit ? 0.0 : dh[i] * gate.value;
  }
  linear_backward(ffn.w1, x, dz1, gradients.w1, gradients.bias1, dx);
  if (!dz3.empty()) linear_backward(ffn.w3, x, dz3, gradients.w3, gradients.bias3, dx);
  return product;
}

OracleLayer OracleLayer::zeros() const {
  OracleLayer of;
  for (const OracleFfn& expert : experts) of.experts.push_back(expert.zeros());
  of.shared = shared.zeros();
  of.gate.assign(gate.size(), 0.0);
  return of;
}

OracleStack OracleStack::zeros() const {
  OracleStack of{shape, residual, {}};
  for (const OracleLayer& layer : layers) of.layers.push_back(layer.zeros());
  return of;
}

Doubles OracleStack::layer_work(int64_t index, std::span<const int32_t> experts,
                                const Doubles& x) const {
  const OracleLayer& layer = layers[static_cast<size_t>(index)];
  const auto d = static_cast<size_t>(shape.hidden_size);
  const auto k = static_cast<size_t>(shape.top_k);
  Doubles y(x.size());
  for (size_t token = 0; token < x.size() / d; ++token) {
    const auto chosen = experts.subspan(token * k, k);
    if (chosen[0] < 0) continue;
    const auto in = row(x, token, d);
    const Doubles weights = choice_weights(shape, layer.gate, chosen, in);
    const auto add = [&](const Doubles& out, double weight) {
      for (size_t c = 0; c < d; ++c) y[token * d + c] += weight * out[c];
    };
    for (size_t j = 0; j < k; ++j) {
      add(oracle_ffn(shape.routed_shape(), layer.experts[static_cast<size_t>(chosen[j])], in),
          weights[j]);
    }
    if (shape.num_shared_experts > 0) add(oracle_ffn(shape.shared_shape(), layer.shared, in), 1.0);
  }
  return y;
}

Doubles OracleStack::forward(std::span<const std::vector<int32_t>> experts, Doubles x) const {
  for (int64_t layer = 0; layer < shape.num_layers; ++layer) {
    Doubles y = layer_work(layer, experts[static_cast<size_t>(layer)], x);
    for (size_t i = 0; i < x.size(); ++i) x[i] = residual ? x[i] + y[i] : y[i];
  }
  return x;
}

Doubles OracleStack::backward(std::span<const std::vector<int32_t>> experts, const Doubles& x,
                              const Doubles& dy, OracleStack& gradients) const {
  const auto d = static_cast<size_t>(shape.hidden_size);
  const auto k = static_cast<size_t>(shape.top_k);
  std::vector<Doubles> inputs{x};
  for (int64_t l = 0; l + 1 < shape.num_layers; ++l) {
    const auto index = static_cast<size_t>(l);
    Doubles y = layer_work(l, experts[index], inputs.back());
    for (size_t i = 0; i < y.size(); ++i) y[i] += residual ? inputs.back()[i] : 0.0;
    inputs.push_back(std::move(y));
  }
  Doubles gradient = dy;
  for (auto l = static_cast<size_t>(shape.num_layers); l-- > 0;) {
    const OracleLayer& layer = layers[l];
    OracleLayer& of_layer = gradients.layers[l];
    Doubles dx = residual ? gradient : Doubles(gradient.size());
    for (size_t token = 0; token < x.size() / d; ++token) {
      const auto chosen = std::span(experts[l]).subspan(token * k, k);
      if (chosen[0] < 0) continue;
      const auto in = row(inputs[l], token, d);
      const auto out = row(gradient, token, d);
      const std::span<double> to = std::span(dx).subspan(token * d, d);
      const Doubles weights = choice_weights(shape, layer.gate, chosen, in);
      Doubles dw;
      for (size_t j = 0; j < k; ++j) {
        const auto e = static_cast<size_t>(chosen[j]);
        dw.push_back(oracle_ffn_backward(shape.routed_shape(), layer.experts[e], in, out,
                                         weights[j], of_layer.experts[e], to));
      }
      choice_weights_backward(shape, layer.gate, chosen, in, dw, of_layer.gate, to);
      if (shape.num_shared_experts > 0) {
        oracle_ffn_backward(shape.shared_shape(), layer.shared, in, out, 1.0, of_layer.shared, to);
      }
    }
    gradient = std::move(dx);
  }
  return gradient;
}

double distance(std::span<const double> a, std::span<const double> b) {
  double difference = 0.0;
  double size = 0.0;
  for (size_t i = 0; i < b.size(); ++i) {
    difference += (a[i] - b[i]) * (a[i] - b[i]);
    size += b[i] * b[i];
  }
  return std::sqrt(difference) / (size > 0.0 ? std::sqrt(size) : 1.0);
}

double distance(std::span<const float> a, std::span<const double> b) {
  const Doubles exact(a.begin(), a.end());
  return distance(std::span<const double>(exact), b);
}

}  // namespace hashep
