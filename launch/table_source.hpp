// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "runtime/routing/table_set.hpp"
#include "runtime/tables/expert_remap.hpp"

namespace hashep {

/// The tables of a file (.safetensors, .npy), or of all hash-routed layers of a model folder.
/// num_experts: 0 where it is not known; a folder has its own. Throws InputError.
TableSet read_tables(const std::string& path, int64_t num_experts);

/// The same tables, which name the experts that `remap` knows: those of before. The config.json of
/// a folder may tell either number of experts. Throws InputError, also where the tables are known
/// to be for another number.
TableSet read_tables_to_remap(const std::string& path, const ExpertRemap& remap);

/// The set with the table of this layer alone: its own, or the one that serves all layers. Throws
/// InputError naming `source` where there is neither.
TableSet select_layer(TableSet set, int64_t layer, const std::string& source);

}  // namespace hashep
