// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "core/safetensors.hpp"
#include "hashep/routing_table.hpp"

namespace hashep {

/// A table from a tensor tid2eid [vocab_size, top_k], I32 or I64, validated. Throws InputError
/// naming `source` (file and tensor).
RoutingTable table_from_tensor(const TensorContents& tensor, int64_t num_experts,
                               const std::string& source);

/// The same from a file's tensor `name`, with its spread rows where the file has them beside it
/// (spread_tensors.hpp), with seed 0.
RoutingTable read_table_tensor(const SafeTensorsFile& file, const std::string& name,
                               int64_t num_experts);

}  // namespace hashep
