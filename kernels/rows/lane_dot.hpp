// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace hashep {

/// The dot product of fp32 or bf16 values with fp32 values, summed in interleaved parts whose
/// number is part of the result's bits, so never the machine's.
template <typename T>
float lane_dot(const T* x, const float* w, int64_t count) {
  constexpr int64_t kLanes = 16;
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

}  // namespace hashep
