// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "hashep/spread_rows.hpp"

namespace hashep {

/// tid2eid: row v holds the experts of token id v.
struct RoutingTable {
  int64_t vocab_size = 0;                           ///< ids are in [0, this)
  int top_k = 1;                                    ///< experts of a token
  std::vector<int32_t> experts;                     ///< [vocab_size, top_k]
  std::optional<SpreadRows> spread = std::nullopt;  ///< of a table that was built with it

  bool operator==(const RoutingTable&) const = default;
};

/// Throws InputError, naming `source`, the row and the expert, where the table is not
/// [vocab_size, top_k] with 1 <= top_k <= num_experts, an entry is outside [0, num_experts), or a
/// row repeats an expert; likewise for spread rows, whose ids must ascend within the vocabulary,
/// each with at least one row, the first being that of tid2eid.
void validate_table(const RoutingTable& table, int64_t num_experts, const std::string& source);

/// Reads a table from `.safetensors` (the tensor `tensor_name`; with an empty name the file's only
/// 2-D integer tensor, I32 or I64, spread rows apart) or `.npy` (any integer type),
/// [vocab_size, top_k]; then validates. A .safetensors file may have spread rows beside the table.
/// Throws InputError naming file and tensor. Local.
RoutingTable load_table(const std::string& path, const std::string& tensor_name,
                        int64_t num_experts);

/// The table of one layer: the tensor layers.{layer}.ffn.gate.tid2eid (with or without a leading
/// "model.") where the file has it, else, for all layers alike, the file's only table. Spread rows
/// get the layer's index as their seed.
RoutingTable load_layer_table(const std::string& path, int64_t layer, int64_t num_experts);

}  // namespace hashep
