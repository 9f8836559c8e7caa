// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "hashep/backend.hpp"
#include "hashep/placement.hpp"
#include "hashep/weight_source.hpp"
#include "runtime/model/model_config.hpp"

namespace hashep {

/// A routed expert that is in files.
struct StoredExpert {
  StoredFfn stored;
  std::string name;        // "layer 0, expert 3"
  int64_t read_bytes = 0;  // whole blocks of direct reads
};

/// All routed experts of a rank, layer by layer. Throws InputError where weights are in no file.
std::vector<StoredExpert> find_stored_experts(const WeightSource& weights,
                                              std::span<const Placement> placements, int ep_rank);

/// How memory for routed experts is divided.
struct StreamingBudget {
  int slots = 0;             // experts that are held at once
  int spare = 0;             // slots more, so that one can be read while another is used
  int buffers = 1;           // into which experts are read
  int64_t slot_bytes = 0;    // of one
  int64_t buffer_bytes = 0;  // of one
};

/// For experts of these layers' shape that compute in `dtype`. Reads one expert of each kind, to
/// see what it takes. Throws InputError where `memory` is too little: the text says what is enough.
StreamingBudget streaming_budget(const ModelConfig& config, DType dtype, GemmLibrary library,
                                 std::span<const StoredExpert> experts, int64_t memory);

}  // namespace hashep
