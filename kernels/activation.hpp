// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>

#include "core/dtype.hpp"

namespace hashep {

/// The element-wise passes that no GEMM can take along. Each is by one thread.

/// gate[i] *= up[i].
void multiply(std::span<const float> up, std::span<float> gate);

/// out[i] = bf16(gate[i] * up[i]); must not overlap.
void multiply_to_bf16(std::span<const float> gate, std::span<const float> up,
                      std::span<BFloat16> out);

/// Rounds values to bf16 in place.
void round_to_bf16(std::span<float> values);

}  // namespace hashep
