// SPDX-License-Identifier: Apache-2.0
#include "kernels/ffn/bounded.hpp"

#include <algorithm>
#include <array>

namespace hashep {
namespace {

constexpr size_t kLanes = 32;

using Lanes = std::array<double, kLanes>;

double round_to_bf16(double value) {
  return static_cast<float>(BFloat16(static_cast<float>(value)));
}

/// Row `row`, rounded to dtype.
void read_row(ConstMatrixView matrix, int64_t row, DType dtype, std::vector<float>& out) {
  out.resize(matrix.cols);
  convert_to_float(matrix.dtype, matrix.row(row), matrix.cols, out.data());
  if (dtype != DType::bf16) return;
  for (float& value : out) value = static_cast<float>(BFloat16(value));
}

/// Sum of the magnitudes of all partial sums, in the order of the lanes.
double partial_sums(const Lanes& lanes) {
  double sum = 0.0;
  double magnitudes = 0.0;
  for (const double lane : lanes) {
    sum += lane;
    magnitudes += std::abs(sum);
  }
  return magnitudes;
}

double total(const Lanes& lanes) {
  double sum = 0.0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

}  // namespace

std::vector<Bounded> exact_values(std::span<const float> x) {
  std::vector<Bounded> values;
  values.reserve(x.size());
  for (const float value : x) values.push_back({value, 0.0, 0.0});
  return values;
}

std::vector<float> values_of(std::span<const Bounded> x) {
  std::vector<float> values;
  values.reserve(x.size());
  for (const Bounded& each : x) values.push_back(static_cast<float>(each.value));
  return values;
}

BoundedOperands::BoundedOperands(std::span<const Bounded> x) {
  for (const Bounded& each : x) {
    values_.push_back(each.value);
    errors_.push_back(std::copysign(each.as_operand(), each.value));
  }
}

Bounded BoundedOperands::dot(std::span<const float> weights, double bias) const {
  // One after the other, beginning with the bias.
  double value = bias;
  double in_order = std::abs(bias);
  // In lanes, each of which has a partial sum of its own.
  Lanes sums{};
  Lanes partials{};
  Lanes products{};
  Lanes squares{};
  Lanes alike{};
  for (size_t begin = 0; begin < weights.size(); begin += kLanes) {
    const size_t count = std::min(kLanes, weights.size() - begin);
    for (size_t lane = 0; lane < count; ++lane) {
      const double weight = weights[begin + lane];
      const double term = weight * values_[begin + lane];
      const double error = weight * errors_[begin + lane];
      sums[lane] += term;
      partials[lane] += std::abs(sums[lane]);
      products[lane] += std::abs(term);
      squares[lane] += error * error;
      alike[lane] += error;
    }
    for (size_t lane = 0; lane < count; ++lane) {
      value += double{weights[begin + lane]} * values_[begin + lane];
      in_order += std::abs(value);
    }
  }
  Bounded result;
  result.value = value;
  // Where all operands are off by the same factor, their errors add up as they themselves do.
  result.spread = std::max(std::sqrt(total(squares)), std::abs(total(alike)));
  const double in_lanes = total(partials) + partial_sums(sums) + 2.0 * std::abs(bias);
  const auto roundings = static_cast<double>(2 * weights.size() + kLanes);
  result.most = kUnit * (std::max(in_order, in_lanes) + total(products)) +
                roundings * (kUnit * result.reach() + kTiny);
  return result;
}

std::vector<Bounded> linear(ConstMatrixView weights, ConstMatrixView bias, DType dtype,
                            std::span<const Bounded> x) {
  const BoundedOperands operands(x);
  std::vector<float> biases(weights.rows);
  if (bias.rows > 0) read_row(bias, 0, DType::f32, biases);
  std::vector<Bounded> result;
  std::vector<float> row;
  for (int64_t i = 0; i < weights.rows; ++i) {
    read_row(weights, i, dtype, row);
    result.push_back(operands.dot(row, biases[i]));
  }
  return result;
}

Bounded product(const Bounded& a, const Bounded& b) {
  const double value = a.value * b.value;
  const double size_a = std::abs(a.value);
  const double size_b = std::abs(b.value);
  // a b + a db + b da + da db, where |da| is at most a.reach().
  const double most_a = size_a + a.reach();
  return {
      value, most_a * b.spread + size_b * a.spread,
      most_a * b.most + size_b * a.most + kUnit * (std::abs(value) + most_a * b.reach()) + kTiny};
}

Bounded sum(const Bounded& a, const Bounded& b, double magnitude) {
  return {a.value + b.value, std::hypot(a.spread, b.spread),
          a.most + b.most + kUnit * (magnitude + a.reach() + b.reach())};
}

Bounded rounded(const Bounded& a, DType dtype) {
  if (dtype != DType::bf16) return a;
  const double value = round_to_bf16(a.value);
  const double above = round_to_bf16(a.value + a.reach()) - value;
  const double below = value - round_to_bf16(a.value - a.reach());
  const double most = std::max(above, below);
  const double with_rounding = a.most + 2.0 * kBf16Unit * (std::abs(a.value) + a.reach()) + kTiny;
  // Near a value between two bf16 numbers the two may round apart, elsewhere they round to one.
  if (most <= with_rounding) return {value, 0.0, most};
  return {value, a.spread, with_rounding};
}

}  // namespace hashep
