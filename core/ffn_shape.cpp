// SPDX-License-Identifier: Apache-2.0
#include "hashep/ffn_shape.hpp"

#include <string>

#include "hashep/error.hpp"

namespace hashep {
namespace {

bool is_present(const ConstMatrixView& matrix) {
  return matrix.data != nullptr || matrix.rows > 0;
}

void check_matrix(const ConstMatrixView& matrix, const std::string& name, int64_t rows,
                  int64_t cols) {
  if (matrix.rows != rows || matrix.cols != cols || matrix.data == nullptr) {
    throw InputError(name + " is [" + std::to_string(matrix.rows) + ", " +
                     std::to_string(matrix.cols) + "], expected [" + std::to_string(rows) + ", " +
                     std::to_string(cols) + "]");
  }
  if (matrix.dtype != DType::f32 && matrix.dtype != DType::f16 && matrix.dtype != DType::bf16) {
    throw InputError(name + " is " + std::string(dtype_name(matrix.dtype)) +
                     ", expected fp32, fp16 or bf16");
  }
}

void check_linear(const ConstMatrixView& weights, const ConstMatrixView& bias,
                  const std::string& name, int64_t rows, int64_t cols) {
  check_matrix(weights, name + ".weight", rows, cols);
  if (is_present(bias)) check_matrix(bias, name + ".bias", 1, rows);
}

}  // namespace

void check_weights(const FfnShape& shape, const FfnWeights& weights, int64_t expert) {
  const std::string prefix = "expert " + std::to_string(expert) + ": ";
  check_linear(weights.w1, weights.bias1, prefix + "w1", shape.ffn_size, shape.hidden_size);
  check_linear(weights.w2, weights.bias2, prefix + "w2", shape.hidden_size, shape.ffn_size);
  if (shape.activation == Activation::silu) {
    check_linear(weights.w3, weights.bias3, prefix + "w3", shape.ffn_size, shape.hidden_size);
  } else if (is_present(weights.w3) || is_present(weights.bias3)) {
    throw InputError(prefix + "w3 is for silu (SwiGLU) only");
  }
}

}  // namespace hashep
