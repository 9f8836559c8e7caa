// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "core/device_stream.hpp"
#include "hashep/dtype.hpp"
#include "hashep/ffn_shape.hpp"
#include "hashep/tensor_view.hpp"

namespace hashep {

// The element-wise passes that no GEMM can take along. On the CPU each is by one thread.

/// gate[i] *= up[i].
void multiply(std::span<const float> up, std::span<float> gate);

/// out[i] = bf16(gate[i] * up[i]); must not overlap.
void multiply_to_bf16(std::span<const float> gate, std::span<const float> up,
                      std::span<BFloat16> out);

/// Rounds values to bf16 in place.
void round_to_bf16(std::span<float> values);

/// What `activate` reads: one expert's rows as the first GEMM leaves them.
struct PreActivation {
  ConstMatrixView rows;  // [n, ffn_size]; with silu [n, 2 * ffn_size], gate then up. f32 or bf16
  const float* bias1 = nullptr;  // [ffn_size], of the gate; may be null
  const float* bias3 = nullptr;  // [ffn_size], of up; may be null
};

/// out = the hidden activation: act(rows + bias1), or with silu silu(gate) * up, clamped first
/// where the shape has a swiglu_limit. Computed in fp32, rounded once to out's dtype (f32 or bf16).
/// On a GPU, in stream order, all in its memory. out: [n, ffn_size]; must not overlap `rows`.
/// Throws RunError where the launch fails.
void activate(const FfnShape& shape, const PreActivation& input, MatrixView out,
              DeviceStream stream);

/// rows.row(i)[c] += bias[c], added in fp32 and rounded once. bias: [cols] in GPU memory, as rows
/// are (f32 or bf16). In stream order. Throws RunError where the launch fails.
void add_bias(const float* bias, MatrixView rows, DeviceStream stream);

}  // namespace hashep
