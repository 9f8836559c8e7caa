// SPDX-License-Identifier: Apache-2.0
#include "runtime/tables/embeddings.hpp"

#include <algorithm>
#include <array>
#include <vector>

#include "core/npy.hpp"
#include "core/quote.hpp"
#include "core/safetensors.hpp"
#include "core/wrong_file.hpp"
#include "hashep/error.hpp"

namespace hashep {
namespace {

bool is_floating(DType dtype) {
  return dtype == DType::f32 || dtype == DType::f16 || dtype == DType::bf16;
}

bool names_embeddings(const std::string& name) {
  return name.ends_with("embed_tokens.weight") || name.ends_with("embed.weight");
}

}  // namespace

EmbeddingFile::EmbeddingFile(const std::string& path, int64_t vocab_size) : file_(path) {
  if (path.ends_with(".npy")) {
    find_npy();
  } else if (path.ends_with(".safetensors")) {
    find_safetensors();
  } else {
    const std::string known = what_it_is(path);
    throw InputError(path + ": embeddings are a .safetensors or .npy file" +
                     (known.empty() ? "" : ", and " + known));
  }
  if (rows_ != vocab_size || dim_ < 1) {
    throw InputError(path + ": embeddings are [" + std::to_string(rows_) + ", " +
                     std::to_string(dim_) + "], expected [" + std::to_string(vocab_size) +
                     ", d] (vocab_size)");
  }
}

void EmbeddingFile::find_npy() {
  const NpyLayout array = read_npy_layout(file_);
  if (array.kind != 'f' || array.shape.size() != 2 ||
      (array.item_size != 4 && array.item_size != 2)) {
    throw InputError(file_.path() + ": embeddings are a 2-D array of f4 or f2");
  }
  data_offset_ = array.data_offset;
  dtype_ = array.item_size == 4 ? DType::f32 : DType::f16;
  rows_ = array.shape[0];
  dim_ = array.shape[1];
}

void EmbeddingFile::find_safetensors() {
  const SafeTensors contents = read_safetensors_layout(file_);
  std::vector<std::string> found;
  std::vector<std::string> named;
  for (const auto& [name, tensor] : contents.tensors) {
    if (!is_floating(tensor.dtype) || tensor.shape.size() != 2) continue;
    found.push_back(name);
    if (names_embeddings(name)) named.push_back(name);
  }
  if (found.size() > 1) found = named;
  if (found.size() != 1) {
    throw InputError(file_.path() + ": expected one 2-D tensor of F32, F16 or BF16, or one whose " +
                     "name ends in embed_tokens.weight or embed.weight; found " +
                     std::to_string(found.size()));
  }
  const SafeTensor& tensor = contents.tensors.at(found.front());
  data_offset_ = tensor.offset;
  dtype_ = tensor.dtype;
  rows_ = tensor.shape[0];
  dim_ = tensor.shape[1];
}

void EmbeddingFile::read(int64_t row, int64_t first, std::span<float> out) const {
  std::array<std::byte, 16384> stored;
  const int64_t size = dtype_size(dtype_);
  int64_t offset = data_offset_ + (row * dim_ + first) * size;
  while (!out.empty()) {
    const auto count = std::min(std::ssize(out), std::ssize(stored) / size);
    const auto bytes = std::span(stored).first(count * size);
    file_.read(offset, bytes);
    convert_to_float(dtype_, bytes.data(), count, out.data());
    out = out.subspan(count);
    offset += count * size;
  }
}

}  // namespace hashep
