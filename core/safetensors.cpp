// SPDX-License-Identifier: Apache-2.0
#include "core/safetensors.hpp"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

#include "core/file_kind.hpp"
#include "core/load.hpp"
#include "core/quote.hpp"
#include "core/strict_json.hpp"
#include "core/wrong_file.hpp"
#include "hashep/error.hpp"

namespace hashep {
namespace {

using nlohmann::json;

constexpr uint64_t kMaxHeaderBytes = 100'000'000;  // the reference implementation's limit
constexpr size_t kLengthBytes = 8;                 // the length word before the header
constexpr std::string_view kMetadataKey = "__metadata__";

/// A dtype of the format that DType has. Others are skipped: new ones come with new files.
struct FileDType {
  std::string_view name;
  DType dtype;
};

constexpr std::array<FileDType, 5> kFileDTypes = {{{"F32", DType::f32},
                                                   {"F16", DType::f16},
                                                   {"BF16", DType::bf16},
                                                   {"I32", DType::i32},
                                                   {"I64", DType::i64}}};

std::optional<DType> find_dtype(std::string_view name) {
  const auto* found = std::find_if(kFileDTypes.begin(), kFileDTypes.end(),
                                   [&](const FileDType& known) { return known.name == name; });
  return found == kFileDTypes.end() ? std::nullopt : std::optional(found->dtype);
}

/// One entry of the header, checked by itself.
struct Entry {
  std::string name;
  std::string dtype_name;
  std::optional<DType> dtype;
  std::vector<int64_t> shape;
  int64_t begin = 0;  // of its data, behind the header
  int64_t end = 0;
};

/// Non-negative integers of a JSON array; nothing where it is no array of such.
std::optional<std::vector<int64_t>> sizes_of(const json& value, std::string_view key) {
  const auto found = value.find(key);
  if (found == value.end() || !found->is_array()) return std::nullopt;
  std::vector<int64_t> sizes;
  for (const json& element : *found) {
    if (!element.is_number_unsigned() || !std::in_range<int64_t>(element.get<uint64_t>())) {
      return std::nullopt;
    }
    sizes.push_back(element.get<int64_t>());
  }
  return sizes;
}

Entry parse_entry(const std::string& name, const json& value, const std::string& source) {
  const auto fail = [&](const std::string& reason) {
    throw InputError(source + ": tensor " + quote(name) + ": " + reason);
  };
  if (!value.is_object()) fail("its header entry is not an object");
  const auto dtype = value.find("dtype");
  if (dtype == value.end() || !dtype->is_string()) fail("it has no dtype");
  Entry entry;
  entry.name = name;
  entry.dtype_name = dtype->get<std::string>();
  entry.dtype = find_dtype(entry.dtype_name);

  auto shape = sizes_of(value, "shape");
  if (!shape) fail("its shape is not an array of non-negative 64-bit integers");
  entry.shape = std::move(*shape);
  const auto offsets = sizes_of(value, "data_offsets");
  if (!offsets || offsets->size() != 2 || (*offsets)[0] > (*offsets)[1]) {
    fail("its data_offsets are not two integers in order");
  }
  entry.begin = (*offsets)[0];
  entry.end = (*offsets)[1];

  if (!entry.dtype) return entry;  // its offsets alone tell where the next one is
  int64_t bytes = dtype_size(*entry.dtype);
  for (const int64_t length : entry.shape) {
    if (__builtin_mul_overflow(bytes, length, &bytes)) fail("its shape is too large");
  }
  if (bytes != entry.end - entry.begin) {
    fail("shape " + shape_text(entry.shape) + " of " + entry.dtype_name + " needs " +
         std::to_string(bytes) + " bytes, but its data_offsets span " +
         std::to_string(entry.end - entry.begin));
  }
  return entry;
}

void parse_metadata(const json& value, const std::string& source,
                    std::map<std::string, std::string>& metadata) {
  if (!value.is_object()) throw InputError(source + ": __metadata__ is not an object");
  for (const auto& [key, text] : value.items()) {
    if (!text.is_string()) {
      throw InputError(source + ": __metadata__ " + quote(key) + " is not a string");
    }
    metadata.emplace(key, text.get<std::string>());
  }
}

/// Tensors must cover the data from its first to its last byte, each byte once.
void check_layout(std::vector<Entry>& entries, int64_t data_size, const std::string& source) {
  std::sort(entries.begin(), entries.end(), [](const Entry& a, const Entry& b) {
    return std::pair(a.begin, a.end) < std::pair(b.begin, b.end);
  });
  int64_t covered = 0;
  for (const Entry& entry : entries) {
    if (entry.begin != covered) {
      throw InputError(source + ": tensor " + quote(entry.name) + ": its data start at " +
                       std::to_string(entry.begin) + ", but those before end at " +
                       std::to_string(covered));
    }
    covered = entry.end;
    if (covered > data_size) {
      throw InputError(source + ": tensor " + quote(entry.name) + ": its data end at " +
                       std::to_string(covered) + ", but the file has " + std::to_string(data_size) +
                       " bytes of data (is it cut off?)");
    }
  }
  if (covered != data_size) {
    throw InputError(source + ": " + std::to_string(data_size) +
                     " bytes of data, but its tensors need " + std::to_string(covered));
  }
}

}  // namespace

std::string shape_text(std::span<const int64_t> shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i) {
    text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
  }
  return text + "]";
}

void SafeTensor::require_matrix(int64_t rows, int64_t cols, const std::string& name) const {
  const bool is_vector = shape.size() == 1 && rows == 1 && shape[0] == cols;
  const bool is_matrix = shape.size() == 2 && shape[0] == rows && shape[1] == cols;
  if (is_vector || is_matrix) return;
  throw InputError(name + ": shape " + shape_text(shape) + ", expected " +
                   shape_text(std::array{rows, cols}));
}

int64_t safetensors_header_bytes(std::span<const std::byte> start, int64_t file_size,
                                 const std::string& source) {
  const auto fail = [&](const std::string& reason) {
    const std::string known = what_it_is(start, file_size);
    const bool is_other = !known.empty() && !known.ends_with("a safetensors file");
    throw InputError(source + ": not a safetensors file: " + (is_other ? known : reason));
  };
  if (start.size() < kLengthBytes) {
    fail("it has only " + std::to_string(start.size()) + " bytes");
  }
  const auto length = load<uint64_t>(start.data());
  if (length == 0) fail("its header is empty");
  if (length > kMaxHeaderBytes) {
    fail("a header of " + std::to_string(length) + " bytes (at most 100000000 are allowed)");
  }
  const auto header_bytes = static_cast<int64_t>(length);
  if (header_bytes > file_size - int64_t{kLengthBytes}) {
    fail("its header of " + std::to_string(length) + " bytes is cut off");
  }
  return int64_t{kLengthBytes} + header_bytes;
}

SafeTensors parse_safetensors(std::span<const std::byte> head, int64_t file_size,
                              const std::string& source) {
  const int64_t data_at = safetensors_header_bytes(head, file_size, source);
  const auto* text = reinterpret_cast<const char*>(head.data()) + kLengthBytes;
  const std::string_view header{text, static_cast<size_t>(data_at) - kLengthBytes};
  const json root = parse_json_object(header, source + ": header");
  SafeTensors result;
  std::vector<Entry> entries;
  for (const auto& [name, value] : root.items()) {
    if (name == kMetadataKey) {
      parse_metadata(value, source, result.metadata);
    } else {
      entries.push_back(parse_entry(name, value, source));
    }
  }
  check_layout(entries, file_size - data_at, source);
  for (Entry& entry : entries) {
    const int64_t offset = data_at + entry.begin;
    const int64_t bytes = entry.end - entry.begin;
    if (entry.dtype) {
      result.tensors.emplace(std::move(entry.name),
                             SafeTensor{*entry.dtype, std::move(entry.shape), offset, bytes});
    } else {
      result.skipped.emplace(
          std::move(entry.name),
          SkippedTensor{std::move(entry.dtype_name), std::move(entry.shape), offset, bytes});
    }
  }
  return result;
}

SafeTensors read_safetensors_layout(const InputFile& file) {
  std::vector<std::byte> head(std::min(int64_t{kFileKindBytes}, file.size()));
  file.read(0, head);
  const size_t read = head.size();
  const auto wanted = static_cast<size_t>(safetensors_header_bytes(head, file.size(), file.path()));
  if (wanted > read) {
    head.resize(wanted);
    file.read(static_cast<int64_t>(read), std::span(head).subspan(read));
  }
  return parse_safetensors(head, file.size(), file.path());
}

SafeTensorsFile::SafeTensorsFile(const std::string& path)
    : file_(path), contents_(read_safetensors_layout(file_)) {}

const SafeTensor& SafeTensorsFile::at(const std::string& name) const {
  const auto found = contents_.tensors.find(name);
  if (found != contents_.tensors.end()) return found->second;
  const auto skipped = contents_.skipped.find(name);
  if (skipped != contents_.skipped.end()) {
    throw InputError(path() + ": tensor " + quote(name) + " has the unsupported dtype " +
                     quote(skipped->second.dtype));
  }
  throw InputError(path() + ": no tensor " + quote(name));
}

void SafeTensorsFile::read(const SafeTensor& tensor, int64_t first,
                           std::span<std::byte> out) const {
  if (first < 0 || first > tensor.bytes || std::ssize(out) > tensor.bytes - first) {
    throw RunError(path() + ": bytes [" + std::to_string(first) + ", " +
                   std::to_string(first + std::ssize(out)) + ") of a tensor of " +
                   std::to_string(tensor.bytes));
  }
  file_.read(tensor.offset + first, out);
}

TensorContents SafeTensorsFile::read(const std::string& name) const {
  const SafeTensor& tensor = at(name);
  file_.require_memory_for(tensor.bytes);
  TensorContents contents{tensor.dtype, tensor.shape, {}};
  contents.bytes.resize(tensor.bytes);
  read(tensor, 0, contents.bytes);
  return contents;
}

std::string_view safetensors_dtype_name(DType dtype) {
  const auto* found = std::find_if(kFileDTypes.begin(), kFileDTypes.end(),
                                   [&](const FileDType& known) { return known.dtype == dtype; });
  return found->name;
}

std::string pad_safetensors_header(std::string json) {
  constexpr size_t kAlignment = 8;  // of the data in the file
  json.append((kAlignment - json.size() % kAlignment) % kAlignment, ' ');
  std::string header(kLengthBytes, '\0');
  const auto length = static_cast<uint64_t>(json.size());
  std::memcpy(header.data(), &length, sizeof(length));
  return header + json;
}

std::string safetensors_header(std::span<const SafeTensorSpec> tensors,
                               const std::map<std::string, std::string>& metadata) {
  json root = json::object();
  if (!metadata.empty()) root[std::string(kMetadataKey)] = metadata;
  int64_t offset = 0;
  for (const SafeTensorSpec& tensor : tensors) {
    int64_t size = dtype_size(tensor.dtype);
    for (const int64_t length : tensor.shape) size *= length;
    root[tensor.name] = {{"dtype", safetensors_dtype_name(tensor.dtype)},
                         {"shape", tensor.shape},
                         {"data_offsets", {offset, offset + size}}};
    offset += size;
  }
  return pad_safetensors_header(root.dump(-1, ' ', false, json::error_handler_t::replace));
}

}  // namespace hashep
