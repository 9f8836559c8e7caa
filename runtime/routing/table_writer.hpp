// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <span>
#include <string>

#include "hashep/dtype.hpp"
#include "hashep/routing_table.hpp"

namespace hashep {

/// A table as a tensor of a file: `tid2eid` where one table serves all layers, else
/// layer_table_name(layer).
struct NamedTable {
  std::string name;
  RoutingTable table;
};

/// "layers.{layer}.ffn.gate.tid2eid", DeepSeek-V4's name.
std::string layer_table_name(int64_t layer);

/// Writes tables as tensors [vocab_size, top_k] of a safetensors file, beside each its spread rows
/// where it has them (spread_tensors.hpp), with `metadata` as its __metadata__; the file appears
/// whole or not at all. dtype: i32 or i64, else RunError. Throws InputError where the place cannot
/// be written to. load_table and load_layer_table read it.
void save_tables(const std::string& path, std::span<const NamedTable> tables,
                 const std::map<std::string, std::string>& metadata, DType dtype);

}  // namespace hashep
