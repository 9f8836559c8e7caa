// SPDX-License-Identifier: Apache-2.0
#include "kernels/ffn/oracle.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace hashep {
namespace {

// Relative errors of elementary functions, of libraries and of GPUs, are below this.
constexpr double kFunctionUnits = 8.0 * kUnit;
constexpr double kMaxGeluSlope = 1.13;  // at sqrt(2)
constexpr double kMaxSiluSlope = 1.10;  // at 2.4

double silu(double z) {
  return z / (1.0 + std::exp(-z));
}

double gelu(double z) {
  return 0.5 * z * (1.0 + std::erf(z / std::numbers::sqrt2));
}

double sqrt_softplus_of(double z) {
  return std::sqrt(std::log1p(std::exp(-std::abs(z))) + std::max(z, 0.0));
}

Bounded relu(const Bounded& z) {
  return apply([](double v) { return std::max(v, 0.0); }, z, z.value + z.reach() > 0.0 ? 1.0 : 0.0,
               0.0);
}

/// z where it is within [least, most], else the nearer of both.
Bounded clamp(const Bounded& z, double least, double most) {
  const bool may_be_within = z.value + z.reach() > least && z.value - z.reach() < most;
  return apply([&](double v) { return std::clamp(v, least, most); }, z, may_be_within ? 1.0 : 0.0,
               0.0);
}

/// Its error is in proportion to z, as that of 1 + erf is absolute.
Bounded gelu(const Bounded& z) {
  return apply([](double v) { return gelu(v); }, z, kMaxGeluSlope,
               kFunctionUnits * std::abs(z.value) + kTiny);
}

Bounded silu(const Bounded& z) {
  return apply([](double v) { return silu(v); }, z, kMaxSiluSlope,
               kFunctionUnits * std::abs(z.value) + kTiny);
}

Bounded sqrt_softplus(const Bounded& z) {
  constexpr double kSubnormals = 0x1.0p-147;  // what roundings of numbers below kTiny can make
  const double score = sqrt_softplus_of(z.value);
  const double reach = z.reach();
  const double most = std::max(sqrt_softplus_of(z.value + reach) - score,
                               score - sqrt_softplus_of(z.value - reach));
  const double lost = score - std::sqrt(std::max(score * score - kSubnormals, 0.0));
  return apply(sqrt_softplus_of, z, reach > 0.0 ? most / reach : 0.0,
               kFunctionUnits * score + lost);
}

/// score / (total + 1e-20) * scale, which is in [0, scale].
Bounded normalised(const Bounded& score, const Bounded& total, double scale) {
  constexpr double kGuard = 1e-20;
  const double size = std::abs(scale);
  const double divisor = total.value + kGuard;
  const double share = score.value / divisor;
  const double least = divisor - total.reach() - 2.0 * kUnit * divisor;
  const Bounded weight{
      share * scale, size * (score.spread + share * total.spread) / least,
      size * ((score.most + share * total.most) / least + kFunctionUnits * share) + kTiny};
  if (least > 0.0 && weight.reach() < size) return weight;
  return {share * scale, 0.0, size};
}

Bounded sigmoid(const Bounded& z) {
  const auto of = [](double v) { return 1.0 / (1.0 + std::exp(-v)); };
  return apply(of, z, 0.25, kFunctionUnits * of(z.value) + kTiny);
}

/// exp(z_i) / sum_j exp(z_j) over all j.
std::vector<Bounded> softmax(std::span<const Bounded> z) {
  double most = -HUGE_VAL;
  double reach = 0.0;
  for (const Bounded& each : z) {
    most = std::max(most, each.value);
    reach = std::max(reach, each.reach());
  }
  double total = 0.0;
  for (const Bounded& each : z) total += std::exp(each.value - most);
  std::vector<Bounded> shares;
  double mean_most = 0.0;
  double mean_square = 0.0;
  for (const Bounded& each : z) {
    const double share = std::exp(each.value - most) / total;
    shares.push_back({share, 0.0, 0.0});
    mean_most += share * each.most;
    mean_square += share * share * each.spread * each.spread;
  }
  // d log share_i = dz_i - sum_j share_j dz_j; the factor covers what is not of the first order.
  const double factor = std::exp(2.0 * reach);
  const double roundings = kFunctionUnits + static_cast<double>(z.size()) * kUnit;
  for (size_t i = 0; i < z.size(); ++i) {
    const double rounded_logits = kUnit * (std::abs(z[i].value) + std::abs(most));
    shares[i].spread = factor * shares[i].value * std::hypot(z[i].spread, std::sqrt(mean_square));
    shares[i].most = factor * shares[i].value *
                         (z[i].most + mean_most + 2.0 * roundings + 2.0 * rounded_logits) +
                     kTiny;
  }
  return shares;
}

Bounded score_of(Score score, const Bounded& logit) {
  return score == Score::sigmoid ? sigmoid(logit) : sqrt_softplus(logit);
}

std::vector<Bounded> of_experts(std::span<const Bounded> all, std::span<const int32_t> experts) {
  std::vector<Bounded> some;
  for (const int32_t expert : experts) some.push_back(all[static_cast<size_t>(expert)]);
  return some;
}

/// How far `after` is above `before`, beyond what rounding explains.
double excess(const Bounded& before, const Bounded& after) {
  return after.value - before.value - before.reach() - after.reach();
}

/// Of values by which experts are ordered, the pair that is furthest from its order.
void judge_order(std::span<const Bounded> values, std::span<const int32_t> experts,
                 OracleChoice& choice) {
  double worst = 0.0;
  const auto compare = [&](int32_t before, int32_t after) {
    const double by =
        excess(values[static_cast<size_t>(before)], values[static_cast<size_t>(after)]);
    if (!(by > worst)) return;
    worst = by;
    choice.chosen = before;
    choice.passed_over = after;
  };
  for (size_t j = 1; j < experts.size(); ++j) compare(experts[j - 1], experts[j]);
  for (size_t e = 0; e < values.size(); ++e) {
    const auto expert = static_cast<int32_t>(e);
    if (std::ranges::find(experts, expert) == experts.end()) compare(experts.back(), expert);
  }
}

std::vector<Bounded> hidden_activation(const FfnShape& shape, const OracleNumbers& numbers,
                                       const FfnWeights& weights, std::span<const Bounded> x) {
  const auto linear_of = [&](ConstMatrixView matrix, ConstMatrixView bias) {
    std::vector<Bounded> z = linear(matrix, bias, numbers.dtype, x);
    if (numbers.rounds_preactivations && numbers.dtype == DType::bf16) {
      for (Bounded& each : z) each.most += kBf16Unit * (std::abs(each.value) + each.reach());
    }
    return z;
  };
  std::vector<Bounded> hidden = linear_of(weights.w1, weights.bias1);
  if (shape.activation == Activation::relu) {
    for (Bounded& h : hidden) h = relu(h);
  } else if (shape.activation == Activation::gelu) {
    for (Bounded& h : hidden) h = gelu(h);
  } else {
    const double limit = shape.swiglu_limit;
    std::vector<Bounded> up = linear_of(weights.w3, weights.bias3);
    for (size_t i = 0; i < hidden.size(); ++i) {
      if (limit > 0.0) {
        hidden[i] = clamp(hidden[i], -HUGE_VAL, limit);
        up[i] = clamp(up[i], -limit, limit);
      }
      hidden[i] = product(silu(hidden[i]), up[i]);
    }
  }
  for (Bounded& h : hidden) h = rounded(h, numbers.dtype);
  return hidden;
}

}  // namespace

std::vector<Bounded> oracle_expert(const FfnShape& shape, const OracleNumbers& numbers,
                                   const FfnWeights& weights, std::span<const Bounded> x) {
  const std::vector<Bounded> hidden = hidden_activation(shape, numbers, weights, x);
  std::vector<Bounded> result = linear(weights.w2, weights.bias2, numbers.dtype, hidden);
  for (Bounded& y : result) y = rounded(y, numbers.dtype);
  return result;
}

std::vector<float> oracle_expert(const FfnShape& shape, DType dtype, const FfnWeights& weights,
                                 std::span<const float> x) {
  return values_of(oracle_expert(shape, OracleNumbers{dtype}, weights, exact_values(x)));
}

std::vector<Bounded> oracle_gate_weights(ConstMatrixView gate, std::span<const int32_t> experts,
                                         float scale, std::span<const Bounded> x) {
  const BoundedOperands operands(x);
  std::vector<float> row(x.size());
  std::vector<Bounded> scores;
  Bounded total;
  for (const int32_t expert : experts) {
    Bounded score;
    if (expert >= 0) {
      convert_to_float(gate.dtype, gate.row(expert), gate.cols, row.data());
      score = sqrt_softplus(operands.dot(row, 0.0));
    }
    scores.push_back(score);
    total = sum(total, score, total.value + score.value);
  }
  std::vector<Bounded> weights;
  for (const Bounded& score : scores) weights.push_back(normalised(score, total, scale));
  return weights;
}

std::vector<float> oracle_gate_weights(ConstMatrixView gate, std::span<const int32_t> experts,
                                       float scale, std::span<const float> x) {
  return values_of(oracle_gate_weights(gate, experts, scale, exact_values(x)));
}

OracleChoice oracle_choice(const GateRule& rule, ConstMatrixView gate, std::span<const float> bias,
                           std::span<const int32_t> experts, std::span<const Bounded> x) {
  const BoundedOperands operands(x);
  std::vector<float> row(x.size());
  std::vector<Bounded> logits;
  for (int64_t e = 0; e < gate.rows; ++e) {
    convert_to_float(gate.dtype, gate.row(e), gate.cols, row.data());
    logits.push_back(operands.dot(row, 0.0));
  }
  OracleChoice choice;
  if (rule.kind == GateKind::softmax_top_k) {
    judge_order(logits, experts, choice);
    choice.weights = experts.size() == 1 ? of_experts(softmax(logits), experts)
                                         : softmax(of_experts(logits, experts));
    return choice;
  }
  std::vector<Bounded> values;
  for (size_t e = 0; e < logits.size(); ++e) {
    const Bounded of_bias{bias.empty() ? 0.0 : double{bias[e]}, 0.0, 0.0};
    const Bounded score = score_of(rule.score, logits[e]);
    values.push_back(sum(score, of_bias, std::abs(score.value + of_bias.value)));
  }
  judge_order(values, experts, choice);
  Bounded total;
  for (const Bounded& logit : of_experts(logits, experts)) {
    const Bounded score = score_of(rule.score, logit);
    total = sum(total, score, total.value + score.value);
  }
  for (const Bounded& logit : of_experts(logits, experts)) {
    choice.weights.push_back(normalised(score_of(rule.score, logit), total, rule.scale));
  }
  return choice;
}

std::vector<Bounded> oracle_combine(std::span<const Bounded> weights,
                                    std::span<const std::vector<Bounded>> rows,
                                    std::span<const Bounded> shared, double sum_unit) {
  std::vector<Bounded> result(rows.empty() ? shared.size() : rows.front().size());
  for (size_t c = 0; c < result.size(); ++c) {
    Bounded total;
    double magnitude = 0.0;
    const auto add = [&](const Bounded& term) {
      magnitude += std::abs(term.value);
      total = sum(total, term, magnitude);
    };
    for (size_t j = 0; j < weights.size(); ++j) add(product(weights[j], rows[j][c]));
    total.most += sum_unit * (magnitude + total.reach());
    if (!shared.empty()) add(shared[c]);
    result[c] = total;
  }
  return result;
}

}  // namespace hashep
