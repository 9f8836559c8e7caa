// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runtime/routing/table_writer.hpp"

namespace hashep {

/// The tables of a file, and how it holds them.
struct TableSet {
  std::vector<NamedTable> tables;  // in the order of their layers
  DType dtype = DType::i32;        // i64 where one of them has it
  std::map<std::string, std::string> metadata;
};

/// The layer that a table is of by its name (layer_table_name in any spelling that own_tensor_name
/// knows); nothing for one that serves all layers.
std::optional<int64_t> layer_of_table(const std::string& name);

/// All 2-D tensors of I32 or I64 of a `.safetensors` file, with their spread rows, or the array of
/// a `.npy` file, as `tid2eid`; validated. Other tensors are left out. Throws InputError where
/// there is no table, or a layer has two.
TableSet load_tables(const std::string& path, int64_t num_experts);

/// num_experts for a reader that does not know it: more than any model has.
inline constexpr int64_t kManyExperts = int64_t{1} << 24;

/// One more than the largest expert of the table.
int64_t least_num_experts(const RoutingTable& table);

/// Writes a table as a `.npy` file, whole or not at all. dtype: i32 or i64. Throws InputError where
/// the table has spread rows, which such a file cannot hold.
void save_npy_table(const std::string& path, const RoutingTable& table, DType dtype);

}  // namespace hashep
