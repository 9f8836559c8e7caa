// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>

#include "kernels/argument_checks.hpp"
#include "kernels/gate/gate_gradient.hpp"
#include "kernels/gate/score_slope.hpp"
#include "kernels/parallel.hpp"
#include "kernels/require.hpp"
#include "kernels/rows/lane_dot.hpp"
#include "kernels/rows/row_sums.hpp"

namespace hashep {
namespace {

constexpr int64_t kTokensPerThread = 16;
constexpr int64_t kColumns = 256;  // of one pass

void require_sizes(std::span<const int32_t> experts, std::span<const float> logit_gradients,
                   int64_t tokens, int top_k) {
  require(experts.size() == logit_gradients.size() && std::ssize(experts) == tokens * top_k,
          "gate gradients: not one for each assignment");
}

}  // namespace

void gate_logit_gradients(ConstMatrixView x, ConstMatrixView gate, std::span<const int32_t> experts,
                          int top_k, float scale, std::span<const float> weight_gradients,
                          std::span<float> logit_gradients, int threads) {
  check_gate(x, gate, experts, top_k, weight_gradients);
  require_sizes(experts, logit_gradients, x.rows, top_k);
  const auto k = static_cast<size_t>(top_k);
  with_activation_type(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    parallel_ranges(x.rows, threads, kTokensPerThread, [&](int64_t begin, int64_t end) {
      for (int64_t token = begin; token < end; ++token) {
        const auto first = static_cast<size_t>(token) * k;
        const std::span<float> out = logit_gradients.subspan(first, k);
        // Logits stand where their gradients go.
        float total = 1e-20f;
        float product = 0.0f;
        for (size_t j = 0; j < k; ++j) {
          const int32_t expert = experts[first + j];
          if (expert < 0) continue;
          out[j] = lane_dot(x.row_as<T>(token), gate.row_as<float>(expert), gate.cols);
          const float score = sqrt_softplus(out[j]);
          total += score;
          product += weight_gradients[first + j] * score;
        }
        for (size_t j = 0; j < k; ++j) {
          if (experts[first + j] < 0) {
            out[j] = 0.0f;
            continue;
          }
          const float score = sqrt_softplus(out[j]);
          const float of_score = scale / total * (weight_gradients[first + j] - product / total);
          out[j] = of_score * sqrt_softplus_slope(out[j], score);
        }
      }
    });
  });
}

void add_gate_input_gradients(ConstMatrixView gate, std::span<const int32_t> experts, int top_k,
                              std::span<const float> logit_gradients, MatrixView dx, int threads) {
  require_sizes(experts, logit_gradients, dx.rows, top_k);
  with_activation_type(dx.dtype, [&](auto zero) {
    using T = decltype(zero);
    parallel_ranges(dx.rows, threads, kTokensPerThread, [&](int64_t begin, int64_t end) {
      std::array<float, kColumns> sums;
      for (int64_t token = begin; token < end; ++token) {
        const int64_t first = token * top_k;
        if (experts[first] < 0) continue;
        for (int64_t column = 0; column < dx.cols; column += kColumns) {
          const int64_t count = std::min(kColumns, dx.cols - column);
          T* const out = dx.row_as<T>(token) + column;
          convert_to_float(dx.dtype, out, count, sums.data());
          for (int64_t a = first; a < first + top_k; ++a) {
            if (experts[a] < 0) continue;
            add_scaled(gate.row_as<float>(experts[a]) + column, logit_gradients[a], count,
                       sums.data());
          }
          convert_from_float(sums.data(), count, dx.dtype, out);
        }
      }
    });
  });
}

void add_gate_gradients(ConstMatrixView x, std::span<const int32_t> experts, int top_k,
                        std::span<const float> logit_gradients, MatrixView gradient) {
  require_sizes(experts, logit_gradients, x.rows, top_k);
  with_activation_type(x.dtype, [&](auto zero) {
    using T = decltype(zero);
    for (int64_t a = 0; a < x.rows * top_k; ++a) {
      if (experts[a] < 0) continue;
      add_scaled(x.row_as<T>(a / top_k), logit_gradients[a], x.cols,
                 gradient.row_as<float>(experts[a]));
    }
  });
}

}  // namespace hashep
