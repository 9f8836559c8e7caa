// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>

#include "tests/kernels/kernel_cases.hpp"
#include "tests/kernels/kernel_inputs.hpp"
#include "tests/support/catch.hpp"

namespace hashep::test {
namespace {

/// The hidden activation in double, from what the first GEMM left and the biases added in fp32.
double reference(const FfnShape& shape, float gate, float up) {
  double z = gate;
  double factor = up;
  switch (shape.activation) {
    case Activation::relu:
      return std::max(z, 0.0);
    case Activation::gelu:
      return 0.5 * z * (1.0 + std::erf(z / std::numbers::sqrt2));
    case Activation::silu:
      break;
  }
  const double limit = shape.swiglu_limit;
  if (limit > 0.0) {
    z = std::min(z, limit);
    factor = std::clamp(factor, -limit, limit);
  }
  return z / (1.0 + std::exp(-z)) * factor;
}

struct ActivationCase {
  FfnShape shape;
  DType in = DType::f32;
  DType out = DType::f32;
  int64_t rows = 0;
  bool has_biases = false;
  int misaligned_by = 0;  // elements
};

/// The largest error over what rounding explains: below 1 all is well.
double worst_error(const ActivationCase& c, const std::vector<float>& rows,
                   const std::vector<float>& bias1, const std::vector<float>& bias3,
                   const std::vector<float>& got) {
  const auto f = static_cast<size_t>(c.shape.ffn_size);
  const size_t width = c.shape.activation == Activation::silu ? 2 * f : f;
  double worst = 0.0;
  for (size_t i = 0; i < got.size(); ++i) {
    const size_t column = i % f;
    const size_t first = i / f * width + column;
    const float gate = c.has_biases ? rows[first] + bias1[column] : rows[first];
    float up = width > f ? rows[first + f] : 0.0f;
    if (width > f && c.has_biases) up += bias3[column];
    const double expected = reference(c.shape, gate, up);
    // gelu's 1 + erf has an absolute error; below 1e-37 fp32 itself has no digits left.
    double bound = 1e-6 * std::abs(expected) + 1e-37;
    if (c.shape.activation == Activation::gelu) bound += 2e-7 * std::abs(double{gate});
    if (c.out == DType::bf16) bound += std::abs(expected) / 256.0;
    const double error = std::abs(got[i] - expected) / bound;
    worst = std::isfinite(error) ? std::max(worst, error) : HUGE_VAL;
  }
  return worst;
}

void check_activation_case(KernelMachine& machine, const ActivationCase& c) {
  machine.release();
  const int64_t f = c.shape.ffn_size;
  const int64_t width = c.shape.activation == Activation::silu ? 2 * f : f;
  const Matrix rows = random_matrix(c.in, c.rows, width, 1, 4.0f);
  const std::vector<float> bias1 = random_matrix(DType::f32, 1, f, 2).values();
  const std::vector<float> bias3 = random_matrix(DType::f32, 1, f, 3).values();
  const auto shift = [&](DType dtype) {
    return c.misaligned_by * static_cast<int>(dtype_size(dtype));
  };
  const Output out(machine, c.out, c.rows, f, shift(c.out));
  PreActivation input{put(machine, rows.view(), shift(c.in))};
  if (c.has_biases) {
    input.bias1 = put(machine, bias1, shift(DType::f32)).data();
    if (width > f) input.bias3 = put(machine, bias3, shift(DType::f32)).data();
  }
  machine.activate(c.shape, input, out.view());
  CAPTURE(static_cast<int>(c.shape.activation), f, c.rows, c.has_biases, c.misaligned_by);
  CHECK(worst_error(c, rows.values(), bias1, bias3, out.values()) < 1.0);
}

}  // namespace

void check_activation_cases(KernelMachine& machine) {
  for (const Activation activation : {Activation::relu, Activation::gelu, Activation::silu}) {
    for (const float limit : {0.0f, 2.5f}) {
      if (limit > 0.0f && activation != Activation::silu) continue;
      for (const DType in : {DType::f32, DType::bf16}) {
        for (const DType out : {DType::f32, DType::bf16}) {
          for (const int64_t f : kRowSizes) {
            const FfnShape shape{1, f, activation, limit};
            const int64_t rows = tokens_of_size(f);
            check_activation_case(machine, {shape, in, out, rows, false, 0});
            check_activation_case(machine, {shape, in, out, rows, true, 0});
            check_activation_case(machine, {shape, in, out, rows, true, 1});
            check_activation_case(machine, {shape, in, out, rows, false, 2});
            check_activation_case(machine, {shape, in, out, 0, true, 0});
          }
        }
      }
    }
  }
}

void check_activation_of_special_values(KernelMachine& machine) {
  constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
  constexpr float kInf = std::numeric_limits<float>::infinity();
  const auto activated = [&](const FfnShape& shape, const std::vector<float>& values) {
    machine.release();
    Matrix rows(DType::f32, 1, static_cast<int64_t>(values.size()));
    rows.set(values);
    const Output out(machine, DType::f32, 1, shape.ffn_size);
    machine.activate(shape, {put(machine, std::as_const(rows).view())}, out.view());
    return out.values();
  };
  for (const Activation activation : {Activation::relu, Activation::gelu}) {
    const std::vector<float> values = activated({1, 4, activation}, {kNan, kInf, 100.0f, -100.0f});
    CHECK(std::isnan(values[0]));
    CHECK(values[1] == kInf);
    CHECK(values[2] == 100.0f);
    CHECK(values[3] == 0.0f);
  }
  for (const float limit : {0.0f, 10.0f}) {
    const std::vector<float> values =
        activated({1, 6, Activation::silu, limit},
                  {kNan, 1.0f, 90.0f, -90.0f, -1e30f, kInf, 1.0f, kNan, 1.0f, 1.0f, 1.0f, -2.0f});
    CHECK(std::isnan(values[0]));
    CHECK(std::isnan(values[1]));
    const double highest = limit > 0.0f ? 10.0 / (1.0 + std::exp(-10.0)) : 90.0;
    CHECK(std::abs(values[2] / highest - 1.0) < 1e-6);
    CHECK(std::abs(values[3] / (-90.0 * std::exp(-90.0)) - 1.0) < 1e-2);  // of few digits: 7e-38
    CHECK(values[4] == 0.0f);
    CHECK(
        (limit > 0.0f ? std::abs(values[5] / (-2.0 * highest) - 1.0) < 1e-6 : values[5] == -kInf));
  }
}

}  // namespace hashep::test
