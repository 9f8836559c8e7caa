// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "hashep/dtype.hpp"
#include "hashep/routing_table.hpp"

namespace hashep {

/// Puts tables, by layer, in the place of those of a model folder. Each file that holds one is
/// written anew beside its place and renamed when all are complete, the index (where it changes)
/// last: at no time is a file half-written, and a process that is killed leaves each layer's old
/// table or its new one. Links are replaced by files, so that what they lead to, which others may
/// share, stays as it is. A layer that had no table gets it in tid2eid.safetensors. dtype: of the
/// entries, i32 or i64; else as the folder has it, or i32. Throws InputError where the folder
/// cannot be read or written to, or a table is not what config.json wants: its layer, its shape,
/// its experts, spread rows or none, and hashep.router.
void insert_model_tables(const std::string& folder, const std::map<int64_t, RoutingTable>& tables,
                         std::optional<DType> dtype);

}  // namespace hashep
