// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "runtime/model/config_file.hpp"
#include "runtime/model/model_files.hpp"
#include "runtime/routing/table_set.hpp"

namespace hashep {

/// The config.json of a model folder. Throws InputError where the folder, the file or a key is
/// missing.
ConfigFile read_config_file(const std::string& folder, ModelLayers layers);
/// The same, for who needs no weights: what they need is never missing.
ModelConfig read_model_config(const std::string& folder);

/// layers.{layer}.ffn.gate.tid2eid as it is stored: I32 or I64, [vocab_size, top_k], with spread
/// rows where the model was trained with them and without where not. Reads headers alone. Throws
/// InputError naming file and tensor.
const SafeTensor& model_table_tensor(const ModelFiles& files, const ModelConfig& config,
                                     int64_t layer);

/// The table, validated.
RoutingTable read_model_table(const ModelFiles& files, const ModelConfig& config, int64_t layer);

/// The tables of all hash-routed layers of a folder, named as in it without a leading "model.".
/// The weights need not be there, nor of a dtype that could be run. num_experts: of the tables,
/// where config.json tells another number, since experts were pruned.
TableSet load_model_tables(const std::string& folder,
                           std::optional<int64_t> num_experts = std::nullopt);

}  // namespace hashep
