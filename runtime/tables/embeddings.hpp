// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "core/input_file.hpp"
#include "hashep/dtype.hpp"

namespace hashep {

/// Token embeddings [vocab_size, d] in a file: F32, F16 or BF16. Rows are read when asked for, so
/// that memory does not grow with the file.
class EmbeddingFile {
 public:
  /// `.safetensors` with one 2-D floating-point tensor (or one among several whose name ends in
  /// embed_tokens.weight or embed.weight), or `.npy` of f2 or f4. Throws InputError, naming the
  /// file, where it is none of these or has not vocab_size rows.
  EmbeddingFile(const std::string& path, int64_t vocab_size);

  const std::string& path() const { return file_.path(); }
  int64_t rows() const { return rows_; }
  int64_t dim() const { return dim_; }

  /// Elements [first, first + out.size()) of a row, as float. Several threads may read at once.
  /// Throws InputError where the file has shrunk.
  void read(int64_t row, int64_t first, std::span<float> out) const;

 private:
  void find_npy();
  void find_safetensors();

  InputFile file_;
  int64_t data_offset_ = 0;  // in the file
  DType dtype_ = DType::f32;
  int64_t rows_ = 0;
  int64_t dim_ = 0;
};

}  // namespace hashep
