// SPDX-License-Identifier: Apache-2.0
#include "kernels/gate/expert_choice.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <vector>

#include "kernels/ffn/oracle.hpp"
#include "kernels/gate/gate_logits.hpp"
#include "kernels/rows/ordered_product.hpp"
#include "tests/kernels/kernel_inputs.hpp"
#include "tests/support/catch.hpp"

namespace hashep::test {
namespace {

constexpr int64_t kExperts = 11;
constexpr int64_t kTokens = 37;

std::vector<GateRule> rules() {
  return {{.kind = GateKind::softmax_top_k, .top_k = 1},
          {.kind = GateKind::softmax_top_k, .top_k = 3},
          {.kind = GateKind::noaux_tc, .score = Score::sigmoid, .top_k = 2, .scale = 2.5f},
          {.kind = GateKind::noaux_tc, .score = Score::sqrtsoftplus, .top_k = 4, .scale = 0.5f},
          {.kind = GateKind::softmax_top_k, .top_k = kExperts}};
}

double score_in_double(Score score, double z) {
  if (score == Score::sigmoid) return 1.0 / (1.0 + std::exp(-z));
  return std::sqrt(std::log1p(std::exp(z)));
}

using Doubles = std::vector<double>;

Doubles exponentials(const Doubles& logits) {
  const double most = *std::ranges::max_element(logits);
  Doubles found;
  for (const double z : logits) found.push_back(std::exp(z - most));
  return found;
}

double sum_of(const Doubles& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

/// Weights of a token's choices, by the words of GateKind.
Doubles weights_in_double(const GateRule& rule, const Doubles& logits,
                          std::span<const int32_t> experts) {
  Doubles all = exponentials(logits);
  if (rule.kind == GateKind::noaux_tc) {
    all.clear();
    for (const double z : logits) all.push_back(score_in_double(rule.score, z));
  }
  Doubles chosen;
  for (const int32_t expert : experts) chosen.push_back(all[static_cast<size_t>(expert)]);
  const bool is_switch = rule.kind == GateKind::softmax_top_k && rule.top_k == 1;
  const double total = is_switch ? sum_of(all) : sum_of(chosen);
  const double scale = rule.kind == GateKind::noaux_tc ? static_cast<double>(rule.scale) : 1.0;
  for (double& weight : chosen) weight *= scale / total;
  return chosen;
}

/// One token's part of weights' gradients and losses.
double loss_in_double(const GateRule& rule, const Doubles& logits, std::span<const int32_t> experts,
                      std::span<const float> weight_gradients, const GateLossFactors& losses) {
  double loss = 0.0;
  const Doubles weights = weights_in_double(rule, logits, experts);
  for (size_t j = 0; j < weights.size(); ++j) {
    loss += static_cast<double>(weight_gradients[j]) * weights[j];
  }
  Doubles shares = exponentials(logits);
  const double log_sum = *std::ranges::max_element(logits) + std::log(sum_of(shares));
  if (rule.kind == GateKind::noaux_tc) {
    shares.clear();
    for (const double z : logits) shares.push_back(score_in_double(rule.score, z));
  }
  const double total = sum_of(shares);
  const auto per_token = static_cast<double>(losses.per_token);
  for (size_t e = 0; e < shares.size(); ++e) {
    loss += static_cast<double>(losses.balance) * per_token * static_cast<double>(logits.size()) *
            static_cast<double>(losses.loads[e]) * shares[e] / total;
  }
  return loss + static_cast<double>(losses.z) * per_token * log_sum * log_sum;
}

}  // namespace

TEST_CASE("an ordered product has the same bits whatever is beside, and is the product") {
  const auto [rows, terms, cols] =
      GENERATE(std::array<int64_t, 3>{1, 1, 1}, std::array<int64_t, 3>{5, 17, 33},
               std::array<int64_t, 3>{9, 100, 64}, std::array<int64_t, 3>{4, 3, 31});
  const Matrix a = random_matrix(DType::f32, rows, terms, 1);
  const Matrix b = random_matrix(DType::f32, terms, cols, 2);
  const auto* const left = a.view().row_as<float>(0);
  const auto* const right = b.view().row_as<float>(0);
  std::vector<float> c(static_cast<size_t>(rows * cols), 0.25f);
  const auto product = [&](int64_t first, int64_t count, float* out, bool adds) {
    ordered_product({.a = left + first * terms,
                     .a_row = terms,
                     .b = right,
                     .b_row = cols,
                     .c = out,
                     .c_row = cols,
                     .rows = count,
                     .terms = terms,
                     .cols = cols,
                     .adds = adds});
  };
  product(0, rows, c.data(), true);
  std::vector<float> transposed(static_cast<size_t>(rows * terms));
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t k = 0; k < terms; ++k) transposed[k * rows + i] = left[i * terms + k];
  }
  std::vector<float> again(c.size(), 0.25f);
  ordered_product({.a = transposed.data(),
                   .a_row = 1,
                   .a_col = rows,
                   .b = right,
                   .b_row = cols,
                   .c = again.data(),
                   .c_row = cols,
                   .rows = rows,
                   .terms = terms,
                   .cols = cols,
                   .adds = true});
  CHECK(again == c);
  for (int64_t i = 0; i < rows; ++i) {
    std::vector<float> alone(static_cast<size_t>(cols), 0.25f);
    product(i, 1, alone.data(), true);
    for (int64_t j = 0; j < cols; ++j) {
      float want = 0.25f;
      for (int64_t k = 0; k < terms; ++k) {
        const float term = left[i * terms + k] * right[k * cols + j];
        want += term;
      }
      CHECK(alone[j] == want);
      CHECK(c[i * cols + j] == want);
    }
  }
}

TEST_CASE("a gate chooses the largest, the lowest of equal ones, and nothing for padding") {
  // Two tokens alike, but one is padding; then what is no number.
  const float nan = std::numeric_limits<float>::quiet_NaN();
  std::vector<float> logits = {1, 3, 3, 2, 1, 3, 3, 2, nan, -1, nan, nan};
  const std::vector<uint8_t> padding = {0, 1, 0};
  const ConstMatrixView view{reinterpret_cast<const std::byte*>(logits.data()), DType::f32, 3, 4};
  std::vector<int32_t> experts(9);
  std::vector<float> weights(9, 5.0f);
  choose_experts({.top_k = 3}, view, {}, padding, experts, weights, 2);
  CHECK(experts == std::vector<int32_t>{1, 2, 3, -1, -1, -1, 1, 0, 2});
  CHECK(weights[0] == weights[1]);
  CHECK(std::abs(weights[0] - 1.0 / (2.0 + std::exp(-1.0))) < 1e-6);
  CHECK(weights[4] == 0.0f);
  // A bias chooses, and does not weight.
  const std::vector<float> bias = {9, 0, 0, 0};
  choose_experts({.kind = GateKind::noaux_tc, .score = Score::sigmoid, .top_k = 3, .scale = 2.0f},
                 view, bias, padding, experts, weights, 1);
  CHECK(experts[0] == 0);
  CHECK(experts[1] == 1);
  CHECK(weights[0] < weights[1]);
  CHECK(std::abs(weights[0] + weights[1] + weights[2] - 2.0f) < 1e-6f);
}

TEST_CASE("choices and weights are the oracle's, which sees wrong ones") {
  const GateRule rule = GENERATE(from_range(rules()));
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const int64_t d = 70;
    const Matrix x = random_matrix(dtype, kTokens, d, 1);
    const Matrix gate =
        random_matrix(DType::f32, kExperts, d, 2, 1.0f / std::sqrt(static_cast<float>(d)));
    const Matrix biases = random_matrix(DType::f32, 1, kExperts, 3, 0.1f);
    std::vector<float> bias;
    if (rule.kind == GateKind::noaux_tc) bias = biases.row(0);
    GateLogits product(kExperts, d);
    product.pack(gate.view());
    Matrix logits = random_matrix(DType::f32, kTokens, kExperts, 9);
    product.run(x.view(), logits.view(), 3);
    const auto assignments = static_cast<size_t>(kTokens * rule.top_k);
    std::vector<int32_t> experts(assignments);
    std::vector<float> weights(assignments);
    choose_experts(rule, logits.view(), bias, {}, experts, weights, 2);
    for (int64_t token = 0; token < kTokens; ++token) {
      const auto k = static_cast<size_t>(rule.top_k);
      const auto chosen = std::span(experts).subspan(static_cast<size_t>(token) * k, k);
      const std::vector<Bounded> row = exact_values(x.row(token));
      const OracleChoice choice = oracle_choice(rule, gate.view(), bias, chosen, row);
      CHECK(choice.chosen == -1);
      for (size_t j = 0; j < k; ++j) {
        const double got = weights[static_cast<size_t>(token) * k + j];
        CHECK(std::abs(got - choice.weights[j].value) <= choice.weights[j].reach());
        CHECK(choice.weights[j].reach() < 1e-3);
      }
      if (k == static_cast<size_t>(kExperts)) continue;
      // The next best in place of the last.
      std::vector<int32_t> wrong(chosen.begin(), chosen.end());
      int32_t other = 0;
      while (std::ranges::find(chosen, other) != chosen.end()) ++other;
      wrong.back() = other;
      CHECK(oracle_choice(rule, gate.view(), bias, wrong, row).chosen == other);
    }
  }
}

TEST_CASE("gradients of logits are slopes of weights and losses") {
  const GateRule rule = GENERATE(from_range(rules()));
  const bool has_losses = GENERATE(false, true);
  const Matrix logits = random_matrix(DType::f32, kTokens, kExperts, 4);
  const auto assignments = static_cast<size_t>(kTokens * rule.top_k);
  std::vector<uint8_t> padding(static_cast<size_t>(kTokens));
  padding[3] = 1;
  std::vector<int32_t> experts(assignments);
  std::vector<float> weights(assignments);
  choose_experts(rule, logits.view(), {}, padding, experts, weights, 1);
  const Matrix given = random_matrix(DType::f32, kTokens, rule.top_k, 5);
  const std::vector<float> loads = {0.1f, 0.2f, 0.0f, 0.3f, 0.05f, 0.05f,
                                    0.1f, 0.0f, 0.0f, 0.1f, 0.1f};
  const GateLossFactors losses{.balance = has_losses ? 0.7f : 0.0f,
                               .z = has_losses ? 0.4f : 0.0f,
                               .loads = loads,
                               .per_token = 0.5f};
  Matrix gradients = random_matrix(DType::f32, kTokens, kExperts, 4);  // logits
  const std::span weight_gradients(given.view().row_as<float>(0), assignments);
  to_logit_gradients(rule, experts, weight_gradients, losses, gradients.view(), 3);
  for (int64_t token = 0; token < kTokens; ++token) {
    const std::vector<float> got = gradients.row(token);
    if (padding[token] != 0) {
      CHECK(std::ranges::all_of(got, [](float value) { return value == 0.0f; }));
      continue;
    }
    const auto k = static_cast<size_t>(rule.top_k);
    const auto first = static_cast<size_t>(token) * k;
    const std::vector<float> floats = logits.row(token);
    double error = 0.0;
    double norm = 1e-6;
    for (size_t e = 0; e < floats.size(); ++e) {
      double ends[2];
      for (int side = 0; side < 2; ++side) {
        Doubles moved(floats.begin(), floats.end());
        moved[e] += side == 0 ? -1e-5 : 1e-5;
        ends[side] = loss_in_double(rule, moved, std::span(experts).subspan(first, k),
                                    weight_gradients.subspan(first, k), losses);
      }
      const double slope = (ends[1] - ends[0]) / 2e-5;
      error += std::pow(slope - static_cast<double>(got[e]), 2);
      norm += slope * slope;
    }
    CHECK(std::sqrt(error / norm) < 1e-5);
  }
}

TEST_CASE("the way back of logits is the transposed product, in both dtypes") {
  for (const DType dtype : {DType::f32, DType::bf16}) {
    const int64_t d = 45;
    const Matrix x = random_matrix(dtype, kTokens, d, 1);
    const Matrix gate = random_matrix(DType::f32, kExperts, d, 2);
    const Matrix of_logits = random_matrix(DType::f32, kTokens, kExperts, 3);
    Matrix dx = random_matrix(dtype, kTokens, d, 6);
    const Matrix before = random_matrix(dtype, kTokens, d, 6);
    add_logit_input_gradients(gate.view(), of_logits.view(), dx.view(), 2);
    Matrix gradient = random_matrix(DType::f32, kExperts, d, 7);
    Buffer scratch;
    make_gate_gradient(of_logits.view(), x.view(), scratch, gradient.view(), 3);
    const double tolerance = dtype == DType::f32 ? 1e-5 : 2e-2;
    for (int64_t i = 0; i < d; ++i) {
      for (int64_t token = 0; token < kTokens; ++token) {
        double want = before.row(token)[i];
        for (int64_t e = 0; e < kExperts; ++e) {
          want += double{of_logits.row(token)[e]} * double{gate.row(e)[i]};
        }
        CHECK(std::abs(want - double{dx.row(token)[i]}) < tolerance * (1.0 + std::abs(want)));
      }
      for (int64_t e = 0; e < kExperts; ++e) {
        double want = 0.0;
        for (int64_t token = 0; token < kTokens; ++token) {
          want += double{of_logits.row(token)[e]} * double{x.row(token)[i]};
        }
        CHECK(std::abs(want - double{gradient.row(e)[i]}) < 1e-5 * (1.0 + std::abs(want)));
      }
    }
  }
}

}  // namespace hashep::test
