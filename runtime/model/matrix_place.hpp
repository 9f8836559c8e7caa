// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "runtime/model/model_files.hpp"
#include "runtime/model/tensor_names.hpp"

namespace hashep {

/// A matrix of weights in a model folder: a tensor, or a part of one.
struct MatrixPlace {
  TensorPlace tensor;
  DType dtype = DType::f32;
  int64_t first_byte = 0;  // in the tensor
  int64_t rows = 0;
  int64_t cols = 0;

  int64_t bytes() const { return rows * cols * dtype_size(dtype); }
};

/// Whose matrices are looked for: a feed-forward expert by its name in tensor_names.hpp, and where
/// it stands among those of its layer, whose matrices may be stacked in one tensor.
struct FfnPlace {
  std::string name;
  std::string stack = {};  // empty: never stacked
  int64_t index = 0;
  int64_t count = 0;
};

/// A matrix of an expert: its own tensor `NAME.w1.weight` [rows, cols], or its part of
/// `NAME.gate_up_proj.weight` [2 ffn_size, cols], in which w1 stands above w3, or of
/// `STACK.w1.weight` [count, rows, cols] or `STACK.gate_up_proj.weight` [count, 2 ffn_size, cols].
/// The layouts are those of transformers' DeepSeek-V4: outputs before inputs, nothing transposed,
/// nothing interleaved. Reads no data. Throws InputError naming file and tensor where there is
/// none, where two hold the matrix, or where one is not of this shape or of no dtype of weights.
MatrixPlace find_matrix(const ModelFiles& files, const FfnPlace& ffn, const FfnMatrix& matrix);

/// `NAME.w1.bias`, as a matrix [1, rows]; nothing where there is none.
std::optional<MatrixPlace> find_bias(const ModelFiles& files, const FfnPlace& ffn,
                                     const FfnMatrix& matrix);

/// gate.weight [num_experts, hidden_size] of a layer.
MatrixPlace find_gate(const ModelFiles& files, const ModelConfig& config, int64_t layer);
/// Its gate.bias, as a matrix [1, num_experts].
MatrixPlace find_gate_bias(const ModelFiles& files, const ModelConfig& config, int64_t layer);

}  // namespace hashep
