// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

namespace hashep {

/// One step of AdamW (Loshchilov and Hutter, arXiv 1711.05101, algorithm 2) on fp32 values, in the
/// order of operations that PyTorch has:
///     g <- scale * gradient;  p <- p * (1 - learning_rate * weight_decay)
///     m <- beta1 * m + (1 - beta1) * g;  v <- beta2 * v + (1 - beta2) * g^2
///     p <- p - learning_rate / correction1 * m / (sqrt(v) / sqrt(correction2) + epsilon)
/// where g below 1e-17, m below 1e-30 and v below 1e-36 in magnitude are taken for 0.
struct AdamWStep {
  float learning_rate = 0.0f;
  float beta1 = 0.9f;
  float beta2 = 0.999f;
  float epsilon = 1e-8f;
  float weight_decay = 0.0f;
  float scale = 1.0f;             // of gradients, to clip them
  float correction1 = 1.0f;       // 1 - beta1^t at step t = 1, 2, ...
  float root_correction2 = 1.0f;  // sqrt(1 - beta2^t)
};

/// The arrays of one step, [count] each. Gradients are set to zero on the way.
struct AdamWArrays {
  float* values = nullptr;
  float* gradients = nullptr;
  float* first_moments = nullptr;   // m
  float* second_moments = nullptr;  // v
  int64_t count = 0;
};

/// Each value's result depends on that value alone, and no operation is fused with another: the
/// same bits on any machine and with any number of threads. Bytes moved: 16 read and 16 written a
/// value.
void adamw_update(const AdamWStep& step, const AdamWArrays& arrays, int threads);

/// The sum of the squares of values, in double, in an order that follows from their number alone.
double sum_of_squares(const float* values, int64_t count, int threads);

}  // namespace hashep
