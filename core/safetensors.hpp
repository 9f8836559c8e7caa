// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/dtype.hpp"
#include "core/mapped_file.hpp"
#include "core/tensor_view.hpp"

namespace hashep {

/// One tensor of a safetensors file, borrowing the file's bytes.
struct SafeTensor {
  DType dtype = DType::f32;
  std::vector<int64_t> shape;
  std::span<const std::byte> data;

  int64_t num_elements() const;
  /// As a matrix [rows, cols]; a 1-D tensor is [1, n]. Throws InputError, naming `name`, where the
  /// tensor is not of this shape.
  ConstMatrixView matrix(int64_t rows, int64_t cols, const std::string& name) const;
};

/// The tensors of one file by name, and its `__metadata__`.
struct SafeTensors {
  std::map<std::string, SafeTensor> tensors;
  std::map<std::string, std::string> metadata;
  std::map<std::string, std::string> skipped;  // tensors of a dtype that DType lacks: that dtype
};

/// Parses without trusting a byte: header length, JSON, dtypes, shapes, offsets (in order, no gap,
/// no overlap, inside the file, equal to the shape's size) are checked. Throws InputError naming
/// `source`. Format: https://github.com/huggingface/safetensors#format
/// Tensors of a dtype that DType lacks are skipped after their offsets were checked.
SafeTensors parse_safetensors(std::span<const std::byte> bytes, const std::string& source);

/// A mapped safetensors file. Tensors stay valid as long as this object lives (moving it is fine).
class SafeTensorsFile {
 public:
  explicit SafeTensorsFile(const std::string& path);

  const std::string& path() const { return file_.path(); }
  const SafeTensors& contents() const { return contents_; }
  /// See MappedFile::drop_pages.
  void drop_pages() const { file_.drop_pages(); }
  bool has(const std::string& name) const { return contents_.tensors.contains(name); }
  /// Throws InputError naming the file where there is no such tensor, or its dtype is unknown.
  const SafeTensor& at(const std::string& name) const;

 private:
  MappedFile file_;
  SafeTensors contents_;
};

/// The format's name of a dtype: "BF16".
std::string_view safetensors_dtype_name(DType dtype);

/// A tensor to be written.
struct SafeTensorSpec {
  std::string name;
  DType dtype = DType::f32;
  std::vector<int64_t> shape;
};

/// The file's first bytes (length word and JSON header, padded to 8 bytes) for these tensors; their
/// data follow in this order, with nothing between.
std::string safetensors_header(std::span<const SafeTensorSpec> tensors,
                               const std::map<std::string, std::string>& metadata);

/// The same from the header's JSON text.
std::string pad_safetensors_header(std::string json);

}  // namespace hashep
