// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "core/quantised_matrix.hpp"
#include "hashep/buffer.hpp"
#include "runtime/model/model_files.hpp"
#include "runtime/model/quantisation.hpp"
#include "runtime/model/tensor_names.hpp"

namespace hashep {

/// Where the codes and scales of a quantised matrix are.
struct QuantisedPlace {
  TensorPlace scales;
  QuantisedView layout;  // without memory
  int64_t codes_at = 0;  // of the first byte in the file of the codes
  int64_t scales_at = 0;
};

/// A matrix of weights in a model folder: a tensor, or a part of one; or, quantised, of two.
struct MatrixPlace {
  TensorPlace tensor;
  DType dtype = DType::f32;  // where it is not quantised
  int64_t first_byte = 0;    // in the tensor, where it is not quantised
  int64_t rows = 0;
  int64_t cols = 0;
  std::optional<QuantisedPlace> quantised = {};

  /// "bf16", or "fp4".
  std::string_view type_name() const;
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
/// nothing interleaved. A quantised one is F8_E4M3, or FP4 packed as I8 [rows, cols / 2], and has
/// its scales beside it, as `.scale` in place of `.weight`. Reads no data. Throws InputError naming
/// file and tensor where there is none, where two hold the matrix, or where one is not of this
/// shape or of no dtype of weights.
MatrixPlace find_matrix(const ModelFiles& files, const Quantisation& quantisation,
                        const FfnPlace& ffn, const FfnMatrix& matrix);

/// `NAME.w1.bias`, as a matrix [1, rows]; nothing where there is none.
std::optional<MatrixPlace> find_bias(const ModelFiles& files, const FfnPlace& ffn,
                                     const FfnMatrix& matrix);

/// gate.weight [num_experts, hidden_size] of a layer.
MatrixPlace find_gate(const ModelFiles& files, const ModelConfig& config, int64_t layer);
/// Its gate.bias, as a matrix [1, num_experts].
MatrixPlace find_gate_bias(const ModelFiles& files, const ModelConfig& config, int64_t layer);

/// Reads a matrix that is not quantised. `memory` grows to what it takes.
ConstMatrixView read_matrix(const MatrixPlace& place, Buffer& memory);

/// Reads one that is. Throws InputError naming file and tensor where a scale or a code is not
/// finite.
QuantisedView read_quantised(const MatrixPlace& place, Buffer& codes, Buffer& scales);

/// Reads rows of a matrix, those of a quantised one expanded to exact_dtype.
class MatrixRows {
 public:
  explicit MatrixRows(const MatrixPlace& place);

  DType dtype() const { return dtype_; }
  /// Fills `out` with the first bytes of a row.
  void read(int64_t row, std::span<std::byte> out) const;

 private:
  const MatrixPlace& place_;
  DType dtype_;
  Buffer scales_;  // of all rows, where it is quantised
};

}  // namespace hashep
