// SPDX-License-Identifier: Apache-2.0
#include "runtime/routing/table_set.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>
#include <string_view>

#include "core/npy.hpp"
#include "core/quote.hpp"
#include "core/safetensors.hpp"
#include "hashep/error.hpp"
#include "runtime/routing/spread_tensors.hpp"
#include "runtime/routing/table_file.hpp"
#include "runtime/routing/tensor_spelling.hpp"

namespace hashep {
namespace {

bool is_table(const std::string& name, const SafeTensor& tensor) {
  const bool is_integer = tensor.dtype == DType::i32 || tensor.dtype == DType::i64;
  return is_integer && tensor.shape.size() == 2 && name != spread_tensor_names(name).rows;
}

/// The dtype that holds a .npy file's integers as they are.
DType npy_dtype(const std::string& path) {
  const NpyLayout layout = read_npy_layout(InputFile(path));
  const bool is_wide = layout.item_size > 4 || (layout.item_size == 4 && layout.kind == 'u');
  return is_wide ? DType::i64 : DType::i32;
}

}  // namespace

std::optional<int64_t> layer_of_table(const std::string& name) {
  constexpr std::string_view kPrefix = "layers.";
  const std::string own = own_tensor_name(name);
  if (!own.starts_with(kPrefix)) return std::nullopt;
  int64_t layer = -1;
  const char* const end = own.data() + own.size();
  const auto [rest, error] = std::from_chars(own.data() + kPrefix.size(), end, layer);
  const bool is_table_name = error == std::errc{} && layer >= 0 && own == layer_table_name(layer);
  return is_table_name ? std::optional(layer) : std::nullopt;
}

TableSet load_tables(const std::string& path, int64_t num_experts) {
  TableSet set;
  if (!path.ends_with(".safetensors")) {  // .npy, or an error that says what a table is
    set.tables.push_back({"tid2eid", load_table(path, "", num_experts)});
    set.dtype = npy_dtype(path);
    return set;
  }
  const SafeTensorsFile file(path);
  set.metadata = file.contents().metadata;
  for (const auto& [name, tensor] : file.contents().tensors) {
    if (!is_table(name, tensor)) continue;
    RoutingTable table = read_table_tensor(file, name, num_experts);
    if (table.spread) {
      table.spread->seed = static_cast<uint64_t>(layer_of_table(name).value_or(0));
    }
    set.tables.push_back({name, std::move(table)});
    if (tensor.dtype == DType::i64) set.dtype = DType::i64;
  }
  if (set.tables.empty()) throw InputError(path + ": no 2-D tensor of I32 or I64 to be a table");
  std::stable_sort(set.tables.begin(), set.tables.end(),
                   [](const NamedTable& a, const NamedTable& b) {
                     return layer_of_table(a.name) < layer_of_table(b.name);
                   });
  for (size_t i = 1; i < set.tables.size(); ++i) {
    const auto layer = layer_of_table(set.tables[i].name);
    if (!layer || layer != layer_of_table(set.tables[i - 1].name)) continue;
    throw InputError(path + ": " + quote(set.tables[i - 1].name) + " and " +
                     quote(set.tables[i].name) + " are both tables of layer " +
                     std::to_string(*layer));
  }
  return set;
}

int64_t least_num_experts(const RoutingTable& table) {
  int32_t largest = -1;
  for (const int32_t expert : table.experts) largest = std::max(largest, expert);
  if (table.spread) {
    for (const int32_t expert : table.spread->experts) largest = std::max(largest, expert);
  }
  return int64_t{largest} + 1;
}

void save_npy_table(const std::string& path, const RoutingTable& table, DType dtype) {
  if (table.spread) {
    throw InputError(path + ": a .npy file cannot hold spread rows; .safetensors can");
  }
  const std::array<int64_t, 2> shape = {table.vocab_size, table.top_k};
  if (dtype == DType::i64) {
    const std::vector<int64_t> wide(table.experts.begin(), table.experts.end());
    write_npy(path, std::span<const int64_t>(wide), shape);
  } else {
    write_npy(path, std::span<const int32_t>(table.experts), shape);
  }
}

}  // namespace hashep
