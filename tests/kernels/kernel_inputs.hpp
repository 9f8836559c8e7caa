// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "hashep/buffer.hpp"
#include "hashep/ffn_shape.hpp"
#include "hashep/tensor_view.hpp"

namespace hashep::test {

/// A matrix that owns its memory, which starts `misaligned_by` bytes past an aligned address.
class Matrix {
 public:
  Matrix() = default;
  /// Every byte is `poison`: as fp32 or bf16 a NaN for 0xff.
  Matrix(DType dtype, int64_t rows, int64_t cols, int misaligned_by = 0, int poison = 0xff);

  MatrixView view() { return {buffer_.data() + offset_, dtype_, rows_, cols_}; }
  ConstMatrixView view() const { return {buffer_.data() + offset_, dtype_, rows_, cols_}; }
  std::vector<float> row(int64_t index) const;
  std::vector<float> values() const;
  void set(const std::vector<float>& values);

 private:
  Buffer buffer_;
  int64_t offset_ = 0;
  DType dtype_ = DType::f32;
  int64_t rows_ = 0;
  int64_t cols_ = 0;
};

/// Normal values times `scale`, rounded to dtype (f32, f16 or bf16).
Matrix random_matrix(DType dtype, int64_t rows, int64_t cols, uint64_t key, float scale = 1.0f,
                     int misaligned_by = 0);

/// Whether two matrices have the same bytes.
bool same_bits(const Matrix& a, const Matrix& b);

/// The weights of one expert, scaled so that outputs are of the size of inputs.
struct ExpertWeights {
  Matrix w1, w2, w3, bias1, bias2, bias3;
  FfnWeights view(bool with_biases) const;
};
ExpertWeights random_expert(const FfnShape& shape, DType dtype, uint64_t key, float scale = 1.0f,
                            int misaligned_by = 0);

/// |a - b| / |b| of two vectors (Euclidean norms).
double relative_error(const std::vector<float>& a, const std::vector<float>& b);

}  // namespace hashep::test
