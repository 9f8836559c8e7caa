// SPDX-License-Identifier: Apache-2.0
#include "runtime/routing/table_file.hpp"

#include <optional>
#include <utility>

#include "core/load.hpp"
#include "core/npy.hpp"
#include "core/quote.hpp"
#include "core/wrong_file.hpp"
#include "hashep/error.hpp"
#include "runtime/routing/spread_tensors.hpp"
#include "runtime/routing/table_writer.hpp"
#include "runtime/routing/tensor_spelling.hpp"

namespace hashep {
namespace {

bool is_integer(DType dtype) {
  return dtype == DType::i32 || dtype == DType::i64;
}

void require_integers(DType dtype, const std::string& source) {
  if (is_integer(dtype)) return;
  throw InputError(source + ": a table of i32 or i64 expected, found " +
                   std::string(dtype_name(dtype)));
}

void require_table_shape(std::span<const int64_t> shape, int64_t num_experts,
                         const std::string& source) {
  if (shape.size() != 2) {
    throw InputError(source + ": shape " + shape_text(shape) +
                     ", expected a table [vocab_size, top_k]");
  }
  if (shape[0] < 1 || shape[1] < 1 || shape[1] > num_experts) {
    throw InputError(source + ": shape " + shape_text(shape) +
                     ", expected [vocab_size, top_k] with 1 <= top_k <= " +
                     std::to_string(num_experts) + " (num_experts)");
  }
}

/// A table of this shape from entry(index) in row-major order, validated.
template <typename Entry>
RoutingTable make_table(std::span<const int64_t> shape, int64_t num_experts,
                        const std::string& source, Entry entry) {
  RoutingTable table{shape[0], static_cast<int>(shape[1]), {}};
  table.experts.resize(shape[0] * shape[1]);
  for (size_t i = 0; i < table.experts.size(); ++i) {
    const int64_t expert = entry(static_cast<int64_t>(i));
    if (!std::in_range<int32_t>(expert)) {
      throw InputError(source + ": row " + std::to_string(static_cast<int64_t>(i) / shape[1]) +
                       " has expert " + std::to_string(expert) + ", outside [0, " +
                       std::to_string(num_experts) + ")");
    }
    table.experts[i] = static_cast<int32_t>(expert);
  }
  validate_table(table, num_experts, source);
  return table;
}

/// The name of the file's only 2-D integer tensor that is not some table's spread rows.
std::string only_table_name(const SafeTensorsFile& file) {
  std::vector<std::string> names;
  for (const auto& [name, tensor] : file.contents().tensors) {
    const bool is_table = is_integer(tensor.dtype) && tensor.shape.size() == 2;
    if (is_table && name != spread_tensor_names(name).rows) names.push_back(name);
  }
  if (names.size() == 1) return names.front();
  if (names.empty()) throw InputError(file.path() + ": no 2-D tensor of I32 or I64 to be a table");
  throw InputError(file.path() + ": " + std::to_string(names.size()) +
                   " 2-D integer tensors could be the table (" + quote(names[0]) + ", " +
                   quote(names[1]) + (names.size() > 2 ? ", ..." : "") + "); expected one");
}

std::optional<TensorContents> find_tensor(const SafeTensorsFile& file, const std::string& name) {
  return file.has(name) ? std::optional(file.read(name)) : std::nullopt;
}

RoutingTable load_npy_table(const std::string& path, int64_t num_experts) {
  const InputFile file(path);
  const NpyLayout layout = read_npy_layout(file);
  if (layout.kind != 'i' && layout.kind != 'u') {
    throw InputError(path + ": a table of integers expected, found floating point");
  }
  require_table_shape(layout.shape, num_experts, path);
  file.require_memory_for(layout.data_bytes);
  std::vector<std::byte> data(layout.data_bytes);
  file.read(layout.data_offset, data);
  return make_table(layout.shape, num_experts, path, [&](int64_t index) {
    try {
      return layout.integer_at(data.data() + index * layout.item_size);
    } catch (const InputError& error) {
      throw InputError(path + ": " + error.marked());
    }
  });
}

}  // namespace

RoutingTable table_from_tensor(const TensorContents& tensor, int64_t num_experts,
                               const std::string& source) {
  require_integers(tensor.dtype, source);
  require_table_shape(tensor.shape, num_experts, source);
  const std::byte* const data = tensor.bytes.data();
  const bool is_wide = tensor.dtype == DType::i64;
  return make_table(tensor.shape, num_experts, source, [=](int64_t index) -> int64_t {
    return is_wide ? load<int64_t>(data + index * 8) : load<int32_t>(data + index * 4);
  });
}

RoutingTable read_table_tensor(const SafeTensorsFile& file, const std::string& name,
                               int64_t num_experts) {
  const std::string source = file.path() + ": " + quote(name);
  const SafeTensor& tensor = file.at(name);
  require_integers(tensor.dtype, source);
  require_table_shape(tensor.shape, num_experts, source);
  RoutingTable table = table_from_tensor(file.read(name), num_experts, source);
  const SpreadTensorNames names = spread_tensor_names(name);
  table.spread = read_spread_rows({find_tensor(file, names.ids), find_tensor(file, names.offsets),
                                   find_tensor(file, names.rows)},
                                  table.top_k, source);
  if (table.spread) validate_table(table, num_experts, source);
  return table;
}

RoutingTable load_table(const std::string& path, const std::string& tensor_name,
                        int64_t num_experts) {
  if (path.ends_with(".npy")) return load_npy_table(path, num_experts);
  if (!path.ends_with(".safetensors")) {
    const std::string known = what_it_is(path);
    throw InputError(path + ": a table is a .safetensors or .npy file" +
                     (known.empty() ? "" : ", and " + known));
  }
  const SafeTensorsFile file(path);
  return read_table_tensor(file, tensor_name.empty() ? only_table_name(file) : tensor_name,
                           num_experts);
}

RoutingTable load_layer_table(const std::string& path, int64_t layer, int64_t num_experts) {
  if (!path.ends_with(".safetensors")) return load_table(path, "", num_experts);
  const SafeTensorsFile file(path);
  std::string tensor_name;
  for (const auto& [name, tensor] : file.contents().tensors) {
    if (own_tensor_name(name) != layer_table_name(layer)) continue;
    if (!tensor_name.empty()) {
      throw InputError(path + ": " + quote(tensor_name) + " and " + quote(name) +
                       " are both tables of layer " + std::to_string(layer));
    }
    tensor_name = name;
  }
  if (tensor_name.empty()) tensor_name = only_table_name(file);
  RoutingTable table = read_table_tensor(file, tensor_name, num_experts);
  if (table.spread) table.spread->seed = static_cast<uint64_t>(layer);
  return table;
}

}  // namespace hashep
