// SPDX-License-Identifier: Apache-2.0
#include "kernels/gemm/rounded_weights.hpp"

#include <algorithm>
#include <span>

#include "kernels/ffn/activation.hpp"
#include "kernels/rows/row_sums.hpp"

namespace hashep {
namespace {

bool is_aligned(const std::byte* data) {
  return reinterpret_cast<uintptr_t>(data) % alignof(float) == 0;
}

}  // namespace

const std::byte* as_operand(ConstMatrixView weights, DType precision, DType operand,
                            Buffer& scratch) {
  const int64_t count = weights.rows * weights.cols;
  const bool are_floats = weights.dtype == DType::f32 && is_aligned(weights.data);
  if (are_floats && precision == DType::f32) return weights.data;
  const int64_t float_bytes =
      are_floats && operand == DType::bf16 ? 0 : count * dtype_size(DType::f32);
  scratch.reserve(float_bytes + (operand == DType::bf16 ? count * dtype_size(operand) : 0));
  auto* const floats = reinterpret_cast<float*>(scratch.data());
  if (float_bytes > 0) convert_to_float(weights.dtype, weights.data, count, floats);
  if (operand == DType::bf16) {
    auto* const rounded = scratch.data() + float_bytes;
    round_sums(float_bytes > 0 ? floats : reinterpret_cast<const float*>(weights.data), count,
               reinterpret_cast<BFloat16*>(rounded));
    return rounded;
  }
  if (precision == DType::bf16) round_to_bf16({floats, static_cast<size_t>(count)});
  return scratch.data();
}

void fill_bias(ConstMatrixView bias, int64_t size, Buffer& out) {
  auto* const values = reinterpret_cast<float*>(out.data());
  if (bias.rows > 0) {
    convert_to_float(bias.dtype, bias.data, bias.cols, values);
  } else {
    std::fill_n(values, size, 0.0f);
  }
}

}  // namespace hashep
