// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "core/device_stream.hpp"
#include "hashep/tensor_view.hpp"

namespace hashep {

/// Weights per choice by DeepSeek-V4's `sqrtsoftplus`: s = sqrt(softplus(x W^T)) in fp32,
/// weights[i, j] = s[e_j] / (sum_j s[e_j] + 1e-20) * scale. Only the top_k logits that are needed
/// are computed. x: [tokens, d] fp32 or bf16; gate: [num_experts, d] fp32; experts and weights:
/// [tokens * top_k]; expert -1 (padding) gets weight 0. A token's result depends on that token
/// alone.
void gate_weights(ConstMatrixView x, ConstMatrixView gate, std::span<const int32_t> experts,
                  int top_k, float scale, std::span<float> weights, int threads);

/// The same on a GPU, in stream order, all of it in GPU memory; a logit is summed in another order,
/// products fused with sums, so that its last bits are not the CPU's. top_k <= kMaxDeviceTopK.
/// Throws RunError where the launch fails.
void gate_weights(ConstMatrixView x, ConstMatrixView gate, std::span<const int32_t> experts,
                  int top_k, float scale, std::span<float> weights, DeviceStream stream);

}  // namespace hashep
