// SPDX-License-Identifier: Apache-2.0
#include "runtime/routing/table_writer.hpp"

#include <vector>

#include "core/atomic_file.hpp"
#include "core/error.hpp"
#include "core/safetensors.hpp"

namespace hashep {

std::string layer_table_name(int64_t layer) {
  return "layers." + std::to_string(layer) + ".ffn.gate.tid2eid";
}

void save_tables(const std::string& path, std::span<const NamedTable> tables,
                 const std::map<std::string, std::string>& metadata, DType dtype) {
  if (dtype != DType::i32 && dtype != DType::i64) {
    throw RunError("save_tables: a table of " + std::string(dtype_name(dtype)));
  }
  std::vector<SafeTensorSpec> specs;
  for (const NamedTable& named : tables) {
    specs.push_back({named.name, dtype, {named.table.vocab_size, named.table.top_k}});
  }
  AtomicFile file(path);
  file.write(safetensors_header(specs, metadata));
  for (const NamedTable& named : tables) {
    const std::vector<int32_t>& experts = named.table.experts;
    if (dtype == DType::i32) {
      file.write(std::as_bytes(std::span(experts)));
    } else {
      const std::vector<int64_t> wide(experts.begin(), experts.end());
      file.write(std::as_bytes(std::span(wide)));
    }
  }
  file.commit();
}

}  // namespace hashep
