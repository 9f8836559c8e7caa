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

void check_quantised(const QuantisedView& matrix, const std::string& name, int64_t rows,
                     int64_t cols) {
  if (matrix.rows != rows || matrix.cols != cols || matrix.codes == nullptr ||
      matrix.scales == nullptr) {
    throw InputError(name + " is [" + std::to_string(matrix.rows) + ", " +
                     std::to_string(matrix.cols) + "], quantised, expected [" +
                     std::to_string(rows) + ", " + std::to_string(cols) + "]");
  }
  if (matrix.block_rows < 1 || matrix.block_cols < 1) {
    throw InputError(name + " has scales of blocks of " + std::to_string(matrix.block_rows) +
                     " x " + std::to_string(matrix.block_cols));
  }
  if (matrix.format == QuantFormat::fp4_e2m1 && cols % 2 != 0) {
    throw InputError(name + " has " + std::to_string(cols) + " inputs of FP4, which come in pairs");
  }
}

void check_linear(const ConstMatrixView& weights, const QuantisedView& quantised,
                  const ConstMatrixView& bias, const std::string& name, int64_t rows,
                  int64_t cols) {
  if (quantised.rows == 0) {
    check_matrix(weights, name + ".weight", rows, cols);
  } else {
    if (is_present(weights)) throw InputError(name + ".weight is given twice, once quantised");
    check_quantised(quantised, name + ".weight", rows, cols);
  }
  if (is_present(bias)) check_matrix(bias, name + ".bias", 1, rows);
}

}  // namespace

void check_weights(const FfnShape& shape, const FfnWeights& weights, int64_t expert) {
  const std::string prefix = "expert " + std::to_string(expert) + ": ";
  const QuantisedFfn& quantised = weights.quantised;
  check_linear(weights.w1, quantised.w1, weights.bias1, prefix + "w1", shape.ffn_size,
               shape.hidden_size);
  check_linear(weights.w2, quantised.w2, weights.bias2, prefix + "w2", shape.hidden_size,
               shape.ffn_size);
  if (shape.activation == Activation::silu) {
    check_linear(weights.w3, quantised.w3, weights.bias3, prefix + "w3", shape.ffn_size,
                 shape.hidden_size);
  } else if (is_present(weights.w3) || is_present(weights.bias3) || quantised.w3.rows != 0) {
    throw InputError(prefix + "w3 is for silu (SwiGLU) only");
  }
}

}  // namespace hashep
