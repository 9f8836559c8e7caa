// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "hashep/tensor_view.hpp"

namespace hashep {

/// A value of the naive oracle, and how far the value of a correct kernel may be from it: a running
/// error analysis (Higham, Accuracy and Stability of Numerical Algorithms, section 3.3). How each
/// bound is found is in docs/checking.md.
struct Bounded {
  /// Independent errors e_i of at most b_i add up to more than kSpreads * sqrt(sum b_i^2) in 1 of
  /// 40 billion cases (Hoeffding's inequality: 2 exp(-kSpreads^2 / 2)).
  static constexpr double kSpreads = 7.0;

  double value = 0.0;
  double spread = 0.0;  // sqrt(sum b_i^2) of the errors that came in with operands
  double most = 0.0;    // bound of the errors made last

  /// |a correct kernel's value - value| is at most this.
  double reach() const { return kSpreads * spread + most; }
  /// b of this value as an operand of a sum.
  double as_operand() const { return spread + most; }

  bool operator==(const Bounded&) const = default;
};

/// Bound of |rounded - exact| / |exact| of an operation in fp32 rounded in any way, as sums of
/// tensor cores are truncated: twice that of rounding to nearest.
inline constexpr double kUnit = 0x1.0p-23;
/// The same for rounding to bf16.
inline constexpr double kBf16Unit = 0x1.0p-8;
/// The smallest normal fp32 number: what is smaller may be flushed to zero.
inline constexpr double kTiny = 0x1.0p-126;

/// x as it is.
std::vector<Bounded> exact_values(std::span<const float> x);
/// The values, rounded to fp32.
std::vector<float> values_of(std::span<const Bounded> x);

/// Vectors as operands of sums of products.
class BoundedOperands {
 public:
  explicit BoundedOperands(std::span<const Bounded> x);

  /// sum_i weights[i] * x[i] + bias, summed in fp32 in any order that takes neighbours one by one
  /// or in up to 32 interleaved parts.
  Bounded dot(std::span<const float> weights, double bias) const;

 private:
  std::vector<double> values_;
  std::vector<double> errors_;  // each has the sign of its value
};

/// W x + bias, W's elements rounded to `dtype` first. An empty bias is zero.
std::vector<Bounded> linear(ConstMatrixView weights, ConstMatrixView bias, DType dtype,
                            std::span<const Bounded> x);

/// a * b, rounded to fp32.
Bounded product(const Bounded& a, const Bounded& b);
/// a + b, rounded to fp32, where |a| and |b| are of sums whose terms add up to `magnitude` in all.
Bounded sum(const Bounded& a, const Bounded& b, double magnitude);
/// Rounded to dtype, once more than fp32 values are.
Bounded rounded(const Bounded& a, DType dtype);

/// f(a) for a continuous f of slopes of at most max_slope near a, computed to within `error`.
template <typename Function>
Bounded apply(const Function& f, const Bounded& a, double max_slope, double error) {
  return {f(a.value), max_slope * a.spread, max_slope * a.most + error};
}

}  // namespace hashep
