// SPDX-License-Identifier: Apache-2.0
// The oracle that gradients are compared with, against differences of its own losses.
#include "kernels/ffn/gradient_oracle.hpp"

#include <random>

#include "tests/support/catch.hpp"

namespace hashep::test {
namespace {

constexpr int64_t kTokens = 7;

Doubles random_doubles(int64_t count, std::mt19937_64& random) {
  std::normal_distribution<double> normal;
  Doubles values(static_cast<size_t>(count));
  for (double& value : values) value = 0.7 * normal(random);
  return values;
}

OracleFfn random_ffn(const FfnShape& shape, std::mt19937_64& random) {
  const int64_t matrix = shape.hidden_size * shape.ffn_size;
  OracleFfn ffn;
  ffn.w1 = random_doubles(matrix, random);
  ffn.w2 = random_doubles(matrix, random);
  ffn.bias1 = random_doubles(shape.ffn_size, random);
  ffn.bias2 = random_doubles(shape.hidden_size, random);
  if (shape.activation == Activation::silu) {
    ffn.w3 = random_doubles(matrix, random);
    ffn.bias3 = random_doubles(shape.ffn_size, random);
  }
  return ffn;
}

OracleStack random_stack(const StackShape& shape, bool residual, std::mt19937_64& random) {
  OracleStack stack{shape, residual, {}};
  for (int64_t l = 0; l < shape.num_layers; ++l) {
    OracleLayer layer;
    for (int64_t e = 0; e < shape.num_experts; ++e) {
      layer.experts.push_back(random_ffn(shape.routed_shape(), random));
    }
    if (shape.num_shared_experts > 0) layer.shared = random_ffn(shape.shared_shape(), random);
    layer.gate = random_doubles(shape.num_experts * shape.hidden_size, random);
    stack.layers.push_back(std::move(layer));
  }
  return stack;
}

/// All matrices of a layer.
std::vector<Doubles*> matrices(OracleLayer& layer) {
  std::vector<Doubles*> all{&layer.gate};
  const auto add = [&](OracleFfn& ffn) {
    for (Doubles* matrix : {&ffn.w1, &ffn.w2, &ffn.w3, &ffn.bias1, &ffn.bias2, &ffn.bias3}) {
      all.push_back(matrix);
    }
  };
  for (OracleFfn& expert : layer.experts) add(expert);
  add(layer.shared);
  return all;
}

}  // namespace

TEST_CASE("the oracle's gradients are the slopes of its loss") {
  const auto activation = GENERATE(Activation::relu, Activation::gelu, Activation::silu);
  const auto score = GENERATE(Score::none, Score::sqrtsoftplus);
  const bool residual = GENERATE(true, false);
  const StackShape shape{.num_layers = 2,
                         .hidden_size = 5,
                         .ffn_size = 4,
                         .num_experts = 3,
                         .top_k = 2,
                         .num_shared_experts = 1,
                         .activation = activation,
                         .swiglu_limit = activation == Activation::silu ? 0.8f : 0.0f,
                         .score = score,
                         .routed_scaling_factor = 1.5f};
  std::mt19937_64 random(11);
  OracleStack stack = random_stack(shape, residual, random);
  const std::vector<std::vector<int32_t>> experts{{0, 1, 1, 2, -1, -1, 2, 0, 0, 1, 1, 0, 2, 1},
                                                  {2, 1, 0, 2, -1, -1, 1, 0, 0, 2, 1, 2, 0, 1}};
  Doubles x = random_doubles(kTokens * shape.hidden_size, random);
  const Doubles dy = random_doubles(kTokens * shape.hidden_size, random);
  const auto loss = [&] {
    const Doubles y = stack.forward(experts, x);
    double sum = 0.0;
    for (size_t i = 0; i < y.size(); ++i) sum += y[i] * dy[i];
    return sum;
  };
  OracleStack gradients = stack.zeros();
  const Doubles dx = stack.backward(experts, x, dy, gradients);
  const auto slope = [&](double& value) {
    constexpr double kStep = 1e-5;
    const double kept = value;
    value = kept + kStep;
    const double above = loss();
    value = kept - kStep;
    const double below = loss();
    value = kept;
    return (above - below) / (2.0 * kStep);
  };
  Doubles slopes;
  for (double& value : x) slopes.push_back(slope(value));
  CHECK(distance(std::span<const double>(dx), slopes) < 1e-7);
  for (size_t l = 0; l < stack.layers.size(); ++l) {
    const std::vector<Doubles*> values = matrices(stack.layers[l]);
    const std::vector<Doubles*> found = matrices(gradients.layers[l]);
    for (size_t m = 0; m < values.size(); ++m) {
      INFO("layer " << l << ", matrix " << m);
      slopes.clear();
      for (double& value : *values[m]) slopes.push_back(slope(value));
      CHECK(distance(std::span<const double>(*found[m]), slopes) < 1e-7);
    }
  }
}

}  // namespace hashep::test
