// SPDX-License-Identifier: Apache-2.0
#include "kernels/ffn/activation.hpp"

namespace hashep {

void multiply(std::span<const float> up, std::span<float> gate) {
  const size_t count = gate.size();
  for (size_t i = 0; i < count; ++i) gate[i] *= up[i];
}

void multiply_to_bf16(std::span<const float> gate, std::span<const float> up,
                      std::span<BFloat16> out) {
  const size_t count = out.size();
  for (size_t i = 0; i < count; ++i) out[i] = BFloat16(gate[i] * up[i]);
}

void round_to_bf16(std::span<float> values) {
  for (float& value : values) value = static_cast<float>(BFloat16(value));
}

}  // namespace hashep
