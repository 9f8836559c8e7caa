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
  int64_t old_offset = 0;                    // in the old file
  const TensorContents* contents = nullptr;  // of an edit
};

Part edited_part(const std::string& name, const TensorContents& contents) {
  return {name,
          std::string(safetensors_dtype_name(contents.dtype)),
          contents.shape,
          std::ssize(contents.bytes),
          0,
          &contents};
}

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
    const auto edit = edits.find(part.name);
    if (edit == edits.end()) {
      parts.push_back(std::move(part));
    } else if (edit->second) {
      parts.push_back(edited_part(part.name, *edit->second));
    }
  }
  for (const auto& [name, contents] : edits) {
    const bool is_new = !old.tensors.contains(name) && !old.skipped.contains(name);
    if (contents && is_new) parts.push_back(edited_part(name, *contents));
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
    if (part.contents != nullptr) {
      out.write(part.contents->bytes);
    } else {
      copy_data(*old, part, out);
    }
  }
}

}  // namespace hashep
