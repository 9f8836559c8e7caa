// SPDX-License-Identifier: Apache-2.0
#include "kernels/argument_checks.hpp"
#include "kernels/gate/gate_scores.hpp"
#include "kernels/gate/sqrt_softplus.hpp"
#include "kernels/parallel.hpp"
#include "kernels/rows/lane_dot.hpp"

namespace hashep {
namespace {

constexpr int64_t kTokensPerThread = 16;

template <typename T>
void gate_token(const T* x, ConstMatrixView gate, std::span<const int32_t> experts, float scale,
                std::span<float> weights) {
  float sum = 0.0f;
  for (size_t j = 0; j < experts.size(); ++j) {
    weights[j] = experts[j] < 0
                     ? 0.0f
                     : sqrt_softplus(lane_dot(x, gate.row_as<float>(experts[j]), gate.cols));
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
