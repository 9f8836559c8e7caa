// SPDX-License-Identifier: Apache-2.0
#include "core/safetensors_edit.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <tuple>
#include <utility>
#include <vector>

namespace hashep {
namespace {

/// A tensor of the new file; its data lie in the old file or with the edits.
struct Part {
  std::string name;
  std::string dtype;
  std::vector<int64_t> shape;
  int64_t bytes = 0;
  int64_t old_offset = 0;            // in the old file
  const TensorEdit* edit = nullptr;  // where it is one
};

/// The tensors of the old file in the order of their data.
std::vector<Part> old_parts(const SafeTensors& old) {
  std::vector<Part> parts;
  for (const auto& [name, tensor] : old.tensors) {
    parts.push_back({name, std::string(safetensors_dtype_name(tensor.dtype)), tensor.shape,
                     tensor.bytes, tensor.offset, nullptr});
  }
  for (const auto& [name, tensor] : old.skipped) {
    parts.push_back({name, tensor.dtype, tensor.shape, tensor.bytes, tensor.offset, nullptr});
  }
  std::sort(parts.begin(), parts.end(), [](const Part& a, const Part& b) {
    return std::tie(a.old_offset, a.bytes, a.name) < std::tie(b.old_offset, b.bytes, b.name);
  });
  return parts;
}

std::vector<Part> edited_parts(const SafeTensors& old, const TensorEdits& edits) {
  std::vector<Part> parts;
  for (Part& part : old_parts(old)) {
    if (!edits.contains(part.name)) parts.push_back(std::move(part));
  }
  for (const auto& [name, edit] : edits) {
    if (edit) parts.push_back({name, edit->dtype, edit->shape, edit->bytes, 0, &*edit});
  }
  return parts;
}

void copy_data(const SafeTensorsFile& old, const Part& part, AtomicFile& out) {
  constexpr int64_t kChunkBytes = int64_t{4} << 20;
  std::vector<std::byte> chunk(std::min(kChunkBytes, part.bytes));
  for (int64_t done = 0; done < part.bytes; done += std::ssize(chunk)) {
    chunk.resize(std::min(kChunkBytes, part.bytes - done));
    old.read_bytes(part.old_offset + done, chunk);
    out.write(chunk);
  }
}

}  // namespace

TensorEdit::TensorEdit(TensorContents contents)
    : dtype(safetensors_dtype_name(contents.dtype)),
      shape(std::move(contents.shape)),
      bytes(std::ssize(contents.bytes)),
      write([data = std::move(contents.bytes)](AtomicFile& out) { out.write(data); }) {}

void write_edited_safetensors(const SafeTensorsFile* old, const TensorEdits& edits,
                              AtomicFile& out) {
  const SafeTensors none;
  const SafeTensors& contents = old != nullptr ? old->contents() : none;
  const std::vector<Part> parts = edited_parts(contents, edits);

  nlohmann::json header = nlohmann::json::object();
  if (!contents.metadata.empty()) header["__metadata__"] = contents.metadata;
  int64_t offset = 0;
  for (const Part& part : parts) {
    header[part.name] = {{"dtype", part.dtype},
                         {"shape", part.shape},
                         {"data_offsets", {offset, offset + part.bytes}}};
    offset += part.bytes;
  }
  out.write(pad_safetensors_header(header.dump()));
  for (const Part& part : parts) {
    if (part.edit != nullptr) {
      part.edit->write(out);
    } else {
      copy_data(*old, part, out);
    }
  }
}

}  // namespace hashep
