// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "kernels/argument_checks.hpp"
#include "kernels/gate/gate_scores.hpp"
#include "kernels/gate/sqrt_softplus.hpp"
#include "kernels/parallel.hpp"

namespace hashep {
namespace {

constexpr int64_t kTokensPerThread = 16;
constexpr int64_t kLanes = 16;  // partial sums; part of the result's bits, so never the machine's

/// The dot product of fp32 or bf16 values with fp32 values, summed in kLanes interleaved parts.
template <typename T>
float dot(const T* x, const float* w, int64_t count) {
  std::array<float, kLanes> sums{};
  const int64_t whole = count - count % kLanes;
  for (int64_t i = 0; i < whole; i += kLanes) {
    for (int64_t lane = 0; lane < kLanes; ++lane) {
      sums[lane] += static_cast<float>(x[i + lane]) * w[i + lane];
    }
  }
  for (int64_t i = whole; i < count; ++i) {
    sums[i - whole] += static_cast<float>(x[i]) * w[i];
  }
  for (size_t width = kLanes / 2; width > 0; width /= 2) {
    for (size_t lane = 0; lane < width; ++lane) sums[lane] += sums[lane + width];
  }
  return sums[0];
}

template <typename T>
void gate_token(const T* x, ConstMatrixView gate, std::span<const int32_t> experts, float scale,
                std::span<float> weights) {
  float sum = 0.0f;
  for (size_t j = 0; j < experts.size(); ++j) {
    weights[j] =
        experts[j] < 0 ? 0.0f : sqrt_softplus(dot(x, gate.row_as<float>(experts[j]), gate.cols));
    sum += weights[j];
  }
  for (float& weight : weights) weight = normalised_score(weight, sum, scale);
}

}  // namespace

void gate_weights(ConstMatrixView x, ConstMatrixView gate, std::span<const int32_t> experts,
                  int top_k, float scale, std::span<float> weights, int threads) {
  check_gate(x, gate, experts, top_k, weights);
  with_activation_type(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    parallel_ranges(x.rows, threads, kTokensPerThread, [&](int64_t begin, int64_t end) {
      for (int64_t token = begin; token < end; ++token) {
        const auto first = static_cast<size_t>(token * top_k);
        const auto count = static_cast<size_t>(top_k);
        gate_token(x.row_as<T>(token), gate, experts.subspan(first, count), scale,
                   weights.subspan(first, count));
      }
    });
  });
}

}  // namespace hashep
