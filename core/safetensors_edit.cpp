// SPDX-License-Identifier: Apache-2.0
#include "core/safetensors_edit.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <utility>

#include "core/load.hpp"
#include "core/strict_json.hpp"

namespace hashep {
namespace {

using nlohmann::json;

/// A tensor of the new file; its data lie in the old file or with the edits.
struct Part {
  std::string name;
  json entry;  // without data_offsets
  std::span<const std::byte> data;
};

/// The tensors of the old file in the order of their data, edited.
std::vector<Part> edited_parts(const json& header, std::span<const std::byte> data,
                               const TensorEdits& edits) {
  std::vector<std::pair<uint64_t, Part>> old;  // by the place of the data
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") continue;
    const auto begin = entry.at("data_offsets").at(0).get<uint64_t>();
    const auto end = entry.at("data_offsets").at(1).get<uint64_t>();
    json kept = {{"dtype", entry.at("dtype")}, {"shape", entry.at("shape")}};
    old.push_back({begin, {name, std::move(kept), data.subspan(begin, end - begin)}});
  }
  std::stable_sort(old.begin(), old.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  const auto contents_of = [](const std::string& name, const TensorContents& contents) {
    return Part{name,
                {{"dtype", safetensors_dtype_name(contents.dtype)}, {"shape", contents.shape}},
                contents.bytes};
  };
  std::vector<Part> parts;
  for (auto& [place, part] : old) {
    const auto edit = edits.find(part.name);
    if (edit == edits.end()) {
      parts.push_back(std::move(part));
    } else if (edit->second) {
      parts.push_back(contents_of(edit->first, *edit->second));
    }
  }
  for (const auto& [name, contents] : edits) {
    if (contents && !header.contains(name)) parts.push_back(contents_of(name, *contents));
  }
  return parts;
}

}  // namespace

void write_edited_safetensors(std::span<const std::byte> bytes, const std::string& source,
                              const TensorEdits& edits, AtomicFile& out) {
  parse_safetensors(bytes, source);  // all that is relied on below
  const auto length = static_cast<size_t>(load<uint64_t>(bytes.data()));
  const std::string_view text{reinterpret_cast<const char*>(bytes.data()) + sizeof(uint64_t),
                              length};
  const json old = parse_json_object(text, source + ": header");
  const std::vector<Part> parts =
      edited_parts(old, bytes.subspan(sizeof(uint64_t) + length), edits);

  json header = json::object();
  if (old.contains("__metadata__")) header["__metadata__"] = old["__metadata__"];
  size_t offset = 0;
  for (const Part& part : parts) {
    header[part.name] = part.entry;
    header[part.name]["data_offsets"] = std::array{offset, offset + part.data.size()};
    offset += part.data.size();
  }
  out.write(pad_safetensors_header(header.dump()));
  for (const Part& part : parts) out.write(part.data);
}

}  // namespace hashep
