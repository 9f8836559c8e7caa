// SPDX-License-Identifier: Apache-2.0
#include "runtime/model/synthetic_weights.hpp"

#include <cmath>
#include <cstring>
#include <set>

#include "hashep/error.hpp"
#include "runtime/model/weight_sample.hpp"
#include "tests/support/catch.hpp"

using namespace hashep;

namespace {

ModelConfig config_of(Activation activation) {
  ModelConfig config;
  config.num_layers = 2;
  config.hidden_size = 96;
  config.ffn_size = 160;
  config.num_experts = 3;
  config.num_shared_experts = 2;
  config.top_k = 1;
  config.vocab_size = 10;
  config.activation = activation;
  config.score = Score::sqrtsoftplus;
  return config;
}

std::vector<float> values_of(const ConstMatrixView& view) {
  std::vector<float> values(view.rows * view.cols);
  convert_to_float(view.dtype, view.data, view.rows * view.cols, values.data());
  return values;
}

double deviation_of(const std::vector<float>& values) {
  double squares = 0;
  for (const double value : values) squares += value * value;
  return std::sqrt(squares / static_cast<double>(values.size()));
}

}  // namespace

TEST_CASE("synthetic weights have the shapes and deviations of a model") {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const auto source = make_synthetic_weights(config_of(Activation::silu), dtype, 1);
    const auto check = [&](const ConstMatrixView& view, int64_t rows, int64_t cols) {
      CHECK(view.dtype == dtype);
      REQUIRE(view.rows == rows);
      REQUIRE(view.cols == cols);
      const double expected = 1 / std::sqrt(static_cast<double>(cols));
      CHECK(std::abs(deviation_of(values_of(view)) / expected - 1) < 0.05);
    };
    const LoadedFfn routed = source->routed_expert(1, 2);
    check(routed.weights.w1, 160, 96);
    check(routed.weights.w2, 96, 160);
    check(routed.weights.w3, 160, 96);
    CHECK(routed.weights.bias1.rows == 0);
    const LoadedFfn shared = source->shared_experts(0);
    check(shared.weights.w1, 320, 96);
    check(shared.weights.w2, 96, 320);
    const LoadedMatrix gate = source->gate(0);
    CHECK(gate.view.dtype == DType::f32);
    REQUIRE(gate.view.rows == 3);
    REQUIRE(gate.view.cols == 96);
    CHECK(std::abs(deviation_of(values_of(gate.view)) * std::sqrt(96.0) - 1) < 0.2);
  }
}

TEST_CASE("each matrix is its own and can be made again") {
  const auto source = make_synthetic_weights(config_of(Activation::silu), DType::f32, 1);
  const auto other_seed = make_synthetic_weights(config_of(Activation::silu), DType::f32, 2);
  std::set<std::vector<float>> starts;
  const auto add = [&](const ConstMatrixView& view) {
    auto values = values_of(view);
    values.resize(16);
    for (float& value : values) value *= std::sqrt(static_cast<float>(view.cols));
    starts.insert(values);
  };
  size_t count = 0;
  for (const auto* weights : {source.get(), other_seed.get()}) {
    for (const int64_t layer : {0, 1}) {
      for (int64_t expert = 0; expert < 3; ++expert) {
        const LoadedFfn ffn = weights->routed_expert(layer, expert);
        for (const auto& view : {ffn.weights.w1, ffn.weights.w2, ffn.weights.w3}) add(view);
      }
      const LoadedFfn shared = weights->shared_experts(layer);
      for (const auto& view : {shared.weights.w1, shared.weights.w2, shared.weights.w3}) add(view);
      add(weights->gate(layer).view);
      count += 13;
    }
  }
  CHECK(starts.size() == count);
  CHECK(values_of(source->routed_expert(1, 1).weights.w2) !=
        values_of(source->routed_expert(0, 1).weights.w2));
  const LoadedFfn first = source->routed_expert(1, 1);
  const LoadedFfn again = source->routed_expert(1, 1);
  CHECK(values_of(first.weights.w2) == values_of(again.weights.w2));
}

TEST_CASE("bf16 weights are the rounded fp32 ones") {
  const auto wide = make_synthetic_weights(config_of(Activation::relu), DType::f32, 5);
  const auto narrow = make_synthetic_weights(config_of(Activation::relu), DType::bf16, 5);
  const auto check = [](const ConstMatrixView& from, const ConstMatrixView& to) {
    std::vector<float> expected = values_of(from);
    for (float& value : expected) value = static_cast<float>(BFloat16(value));
    CHECK(values_of(to) == expected);
  };
  const LoadedFfn from = wide->routed_expert(0, 1);
  const LoadedFfn to = narrow->routed_expert(0, 1);
  check(from.weights.w1, to.weights.w1);
  CHECK(from.weights.w3.rows == 0);
  const LoadedMatrix from_gate = wide->gate(1);
  const LoadedMatrix to_gate = narrow->gate(1);
  check(from_gate.view, to_gate.view);
}

TEST_CASE("the digest follows shapes and dtype, and fp16 is refused") {
  ModelConfig config = config_of(Activation::silu);
  const uint64_t digest = make_synthetic_weights(config, DType::f32, 1)->shape_digest();
  CHECK(make_synthetic_weights(config, DType::f32, 2)->shape_digest() == digest);
  CHECK(make_synthetic_weights(config, DType::bf16, 1)->shape_digest() != digest);
  config.ffn_size = 161;
  CHECK(make_synthetic_weights(config, DType::f32, 1)->shape_digest() != digest);
  config = config_of(Activation::silu);
  config.num_shared_experts = 0;
  const auto without_shared = make_synthetic_weights(config, DType::f32, 1);
  CHECK(without_shared->shape_digest() != digest);
  CHECK(without_shared->shared_experts(0).weights.w1.rows == 0);
  CHECK_THROWS_AS(make_synthetic_weights(config, DType::f16, 1), InputError);
}

TEST_CASE("the sample of an expert is the same whether all of it or some rows are made") {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const Activation activation : {Activation::relu, Activation::silu}) {
      const auto weights = make_synthetic_weights(config_of(activation), dtype, 1);
      const auto sample = weights->sample_expert(1, 2);
      CHECK(sample == weight_sample(weights->routed_expert(1, 2).weights, 1, 2));
      CHECK(sample != weights->sample_expert(1, 1));
      CHECK(sample != weights->sample_expert(0, 2));
      CHECK(sample != make_synthetic_weights(config_of(activation), dtype, 2)->sample_expert(1, 2));
    }
  }
}

TEST_CASE("a sample sees that some part of an expert is another one") {
  auto weights = make_synthetic_weights(config_of(Activation::silu), DType::f32, 1);
  const LoadedFfn expert = weights->routed_expert(0, 0);
  const auto sample = weight_sample(expert.weights, 0, 0);
  const uint64_t content = content_digest(expert.weights);
  for (ConstMatrixView FfnWeights::*matrix : {&FfnWeights::w1, &FfnWeights::w2, &FfnWeights::w3}) {
    FfnWeights other = expert.weights;
    std::vector<float> values = values_of(other.*matrix);
    for (float& value : values) value = -value;
    (other.*matrix).data = reinterpret_cast<const std::byte*>(values.data());
    CHECK(weight_sample(other, 0, 0) != sample);
    CHECK(content_digest(other) != content);
  }
  FfnWeights with_bias = expert.weights;
  with_bias.bias1 = expert.weights.w1.slice(0, 1);
  CHECK(weight_sample(with_bias, 0, 0) != sample);
  CHECK(content_digest(with_bias) != content);
}
