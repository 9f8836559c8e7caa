// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm/rounded_weights.hpp"

#include <algorithm>

#include "kernels/ffn/activation.hpp"

namespace hashep {
namespace {

std::span<float> floats(Buffer& buffer, int64_t count) {
  return {reinterpret_cast<float*>(buffer.data()), static_cast<size_t>(count)};
}

}  // namespace

Buffer rounded_weights(ConstMatrixView weights, DType precision) {
  const int64_t count = weights.rows * weights.cols;
  Buffer buffer(count * dtype_size(DType::f32));
  const std::span<float> values = floats(buffer, count);
  convert_to_float(weights.dtype, weights.data, count, values.data());
  if (precision == DType::bf16) round_to_bf16(values);
  return buffer;
}

Buffer bias_values(ConstMatrixView bias, int64_t size) {
  Buffer buffer(size * dtype_size(DType::f32));
  const std::span<float> values = floats(buffer, size);
  std::fill(values.begin(), values.end(), 0.0f);
  if (bias.rows > 0) convert_to_float(bias.dtype, bias.data, bias.cols, values.data());
  return buffer;
}

}  // namespace hashep
