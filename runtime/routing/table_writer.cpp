// SPDX-License-Identifier: Apache-2.0
#include "runtime/routing/table_writer.hpp"

#include <vector>

#include "core/atomic_file.hpp"
#include "core/safetensors.hpp"
#include "hashep/error.hpp"
#include "runtime/routing/spread_tensors.hpp"

namespace hashep {
namespace {

void add_spread_specs(const std::string& name, const RoutingTable& table, DType dtype,
                      std::vector<SafeTensorSpec>& specs) {
  const SpreadTensorNames names = spread_tensor_names(name);
  const SpreadRows& spread = *table.spread;
  specs.push_back({names.ids, DType::i32, {std::ssize(spread.ids)}});
  specs.push_back({names.offsets, DType::i64, {std::ssize(spread.offsets)}});
  specs.push_back({names.rows, dtype, {spread.offsets.back(), table.top_k}});
}

void write_experts(AtomicFile& file, const std::vector<int32_t>& experts, DType dtype) {
  if (dtype == DType::i32) {
    file.write(std::as_bytes(std::span(experts)));
  } else {
    const std::vector<int64_t> wide(experts.begin(), experts.end());
    file.write(std::as_bytes(std::span(wide)));
  }
}

}  // namespace

std::string layer_table_name(int64_t layer) {
  return "layers." + std::to_string(layer) + ".ffn.gate.tid2eid";
}

void save_tables(const std::string& path, std::span<const NamedTable> tables,
                 const std::map<std::string, std::string>& metadata, DType dtype) {
  if (dtype != DType::i32 && dtype != DType::i64) {
    throw RunError("save_tables: a table of " + std::string(dtype_name(dtype)));
  }
  std::vector<SafeTensorSpec> specs;
  for (const auto& [name, table] : tables) {
    specs.push_back({name, dtype, {table.vocab_size, table.top_k}});
    if (table.spread) add_spread_specs(name, table, dtype, specs);
  }
  AtomicFile file(path);
  file.write(safetensors_header(specs, metadata));
  for (const auto& [name, table] : tables) {
    write_experts(file, table.experts, dtype);
    if (!table.spread) continue;
    file.write(std::as_bytes(std::span(table.spread->ids)));
    file.write(std::as_bytes(std::span(table.spread->offsets)));
    write_experts(file, table.spread->experts, dtype);
  }
  file.commit();
}

}  // namespace hashep
