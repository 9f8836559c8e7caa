// SPDX-License-Identifier: Apache-2.0
// Bounds of the oracle: what is valid is within them, what is wrong is not.
#include <algorithm>
#include <cmath>
#include <functional>
#include <string>
#include <utility>

#include "core/random.hpp"
#include "tests/runtime/layer/check_cases.hpp"
#include "tests/support/catch.hpp"

namespace hashep::test {
namespace {

constexpr uint64_t kCases = 400;

/// An error to be seen: what is done to the model or to the plan of layer 0 with which layers run.
struct Planted {
  std::string name;
  std::function<void(CheckedModel&)> in_model;
  std::function<void(ExchangePlan&)> in_plan;
};

/// The row becomes another one of the same size.
void replace_row(Matrix& matrix, int64_t row) {
  std::vector<float> values = matrix.values();
  const int64_t cols = matrix.view().cols;
  float* const begin = values.data() + row * cols;
  double norm = 0.0;
  for (int64_t i = 0; i < cols; ++i) norm += double{begin[i]} * begin[i];
  fill_normal(77, 0, {begin, static_cast<size_t>(cols)});
  for (int64_t i = 0; i < cols; ++i) {
    begin[i] *= static_cast<float>(std::sqrt(norm / static_cast<double>(cols)));
  }
  matrix.set(values);
}

std::vector<Planted> planted_errors() {
  const auto row_of = [](Matrix ExpertWeights::*matrix) {
    return [matrix](CheckedModel& model) { replace_row(model.layers[0].experts[1].*matrix, 3); };
  };
  std::vector<Planted> all;
  all.push_back({"a row of w1", row_of(&ExpertWeights::w1), {}});
  all.push_back({"a row of w2", row_of(&ExpertWeights::w2), {}});
  all.push_back({"a row of w3", row_of(&ExpertWeights::w3), {}});
  all.push_back({"a row of the last layer's w1",
                 [](CheckedModel& model) { replace_row(model.layers.back().experts[0].w1, 0); },
                 {}});
  all.push_back({"two experts swapped",
                 [](CheckedModel& model) {
                   std::swap(model.layers[0].experts[0], model.layers[0].experts[1]);
                 },
                 {}});
  all.push_back({"no shared expert",
                 [](CheckedModel& model) {
                   Matrix& w2 = model.layers[0].shared.w2;
                   w2.set(std::vector<float>(w2.values().size()));
                 },
                 {}});
  all.push_back({"a row of the shared expert's w2",
                 [](CheckedModel& model) { replace_row(model.layers[0].shared.w2, 2); },
                 {}});
  all.push_back(
      {"a row of the gate", [](CheckedModel& model) { replace_row(model.layers[0].gate, 1); }, {}});
  all.push_back({"no biases", [](CheckedModel& model) { model.with_biases = false; }, {}});
  // Token 0's second choice, or its first one in its place.
  all.push_back({"a row dropped", {}, [](ExchangePlan& plan) { plan.send_rows[1] = -1; }});
  all.push_back({"a row doubled", {}, [](ExchangePlan& plan) {
                   plan.send_rows[1] = plan.send_rows[0];
                   plan.experts[1] = plan.experts[0];
                 }});
  return all;
}

}  // namespace

TEST_CASE(
    "valid runs are within the bounds: random shapes, gates, shared experts, cancelling rows") {
  double worst = 0.0;
  for (uint64_t seed = 0; seed < kCases; ++seed) {
    const CheckedCase c = random_case(seed);
    INFO("seed " << seed << ": " << c.name());
    const auto difference = c.difference(c.run(c.model, c.plan));
    INFO(difference.text());
    CHECK(difference.share <= 1.0);
    worst = std::max(worst, difference.share);
  }
  CHECK(worst > 0.01);
}

TEST_CASE(
    "valid runs are within the bounds where errors do not cancel: weights that are all alike") {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const Activation activation : {Activation::relu, Activation::gelu, Activation::silu}) {
      for (const int64_t size : {100, 1500}) {
        const ModelConfig config{.num_layers = 1,
                                 .hidden_size = size,
                                 .ffn_size = size,
                                 .num_experts = 1,
                                 .num_shared_experts = 1,
                                 .top_k = 1,
                                 .vocab_size = 100,
                                 .activation = activation,
                                 .router = RouterKind::token};
        for (const float weight : {0.1f, -0.0123f}) {
          const CheckedCase c = even_case(config, dtype, weight);
          const auto difference = c.difference(c.run(c.model, c.plan));
          INFO(c.name() << ", weight " << weight << ": " << difference.text());
          CHECK(difference.share <= 1.0);
        }
      }
    }
  }
}

TEST_CASE("errors of one row, one expert, one gate row are beyond the bounds") {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    for (const auto& [d, f] : {std::pair<int64_t, int64_t>{24, 40}, {192, 256}}) {
      for (const int top_k : {2, 4}) {
        ModelConfig config{.num_layers = 2,
                           .hidden_size = d,
                           .ffn_size = f,
                           .num_experts = 6,
                           .num_shared_experts = 1,
                           .top_k = top_k,
                           .vocab_size = 100,
                           .router = RouterKind::token};
        const auto make = [&] {
          CheckedCase made = plain_case(config, dtype, 24, true);
          made.model.with_biases = true;
          return made;
        };
        const CheckedCase c = make();
        CHECK(c.difference(c.run(c.model, c.plan)).share <= 1.0);
        for (const Planted& planted : planted_errors()) {
          CheckedCase spoilt = make();
          if (planted.in_model) planted.in_model(spoilt.model);
          if (planted.in_plan) planted.in_plan(spoilt.plan.layers[0]);
          const auto difference = c.difference(c.run(spoilt.model, spoilt.plan));
          INFO(planted.name << ": " << c.name() << ": " << difference.text());
          CHECK(difference.share > 1.0);
        }
      }
    }
  }
}

}  // namespace hashep::test
