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

#include "core/input_file.hpp"
#include "hashep/dtype.hpp"

namespace hashep {

/// Where a tensor of a safetensors file is, and what it is.
struct SafeTensor {
  DType dtype = DType::f32;
  std::vector<int64_t> shape;
  int64_t offset = 0;  // of its first byte in the file
  int64_t bytes = 0;

  int64_t num_elements() const { return bytes / dtype_size(dtype); }
  /// Throws InputError, naming `name`, where the tensor is not a matrix [rows, cols]; a 1-D tensor
  /// is [1, n].
  void require_matrix(int64_t rows, int64_t cols, const std::string& name) const;
};

/// A tensor of a dtype that DType lacks.
struct SkippedTensor {
  std::string dtype;  // as the file names it
  std::vector<int64_t> shape;
  int64_t offset = 0;  // of its first byte in the file
  int64_t bytes = 0;
};

/// "[2, 3]", for messages.
std::string shape_text(std::span<const int64_t> shape);

/// The tensors of one file by name, and its `__metadata__`.
struct SafeTensors {
  std::map<std::string, SafeTensor> tensors;
  std::map<std::string, SkippedTensor> skipped;
  std::map<std::string, std::string> metadata;
};

/// A tensor in memory.
struct TensorContents {
  DType dtype = DType::f32;
  std::vector<int64_t> shape;
  std::vector<std::byte> bytes;
};

/// The bytes of a file of `file_size` bytes before its tensors' data: the length word and the
/// header. start: the file's first bytes, 8 of them or all; with kFileKindBytes, errors tell what
/// the file is in place of a safetensors file. Throws InputError naming `source`.
int64_t safetensors_header_bytes(std::span<const std::byte> start, int64_t file_size,
                                 const std::string& source);

/// Parses without trusting a byte: header length, JSON, shapes, offsets (in order, no gap, no
/// overlap, inside the file, equal to the shape's size) are checked. head: the file's first
/// safetensors_header_bytes, or more. Throws InputError naming `source`. Format:
/// https://github.com/huggingface/safetensors#format
/// Tensors of a dtype that DType lacks, whatever its name, are skipped by their offsets; their size
/// is not compared with their shape, as elements may be parts of bytes.
SafeTensors parse_safetensors(std::span<const std::byte> head, int64_t file_size,
                              const std::string& source);

/// The same of a file, whose header alone is read.
SafeTensors read_safetensors_layout(const InputFile& file);

/// A safetensors file that is open for reading. Its header is read once, when it is opened; data
/// are read when they are asked for, and not kept. All functions may be called by several threads
/// at once, and throw InputError naming the file, also where it has shrunk meanwhile.
class SafeTensorsFile {
 public:
  explicit SafeTensorsFile(const std::string& path);

  const std::string& path() const { return file_.path(); }
  const SafeTensors& contents() const { return contents_; }
  bool has(const std::string& name) const { return contents_.tensors.contains(name); }
  /// Throws InputError where there is no such tensor, or its dtype is not one of DType.
  const SafeTensor& at(const std::string& name) const;

  /// Fills all of `out` with the data of a tensor of this file from its byte `first` on: all of it,
  /// or some rows.
  void read(const SafeTensor& tensor, int64_t first, std::span<std::byte> out) const;
  /// A whole tensor. Throws as `at` does.
  TensorContents read(const std::string& name) const;
  /// Bytes [offset, offset + out.size()) of the file.
  void read_bytes(int64_t offset, std::span<std::byte> out) const { file_.read(offset, out); }

 private:
  InputFile file_;
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
