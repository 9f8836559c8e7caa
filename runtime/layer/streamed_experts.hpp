// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <span>

#include "hashep/placement.hpp"
#include "hashep/weight_source.hpp"
#include "runtime/layer/host_experts.hpp"

namespace hashep {

/// How experts are streamed.
struct StreamingOptions {
  int64_t memory = 0;       // bytes for routed experts, and for reading them
  int64_t lookahead = 0;    // batches: see WeightStore::Options
  bool reads_ahead = true;  // else as a runtime that knows no plans: each expert is read when it is
                            // used, and the one that was used longest ago goes (LRU)
  bool check_finite = false;
  WeightForm form = WeightForm::automatic;
};

/// Experts of which a rank holds as many as fit into its memory, and reads others when plans say
/// that they will be needed (WeightStore); shared experts are held. Throws InputError where weights
/// are in no file, or the memory is too small for one expert: the text says what is enough.
std::unique_ptr<HostExperts> make_streamed_experts(const ModelConfig& config,
                                                   const HostExpertsOptions& options,
                                                   const WeightSource& weights,
                                                   std::span<const Placement> placements,
                                                   int ep_rank, const StreamingOptions& streaming);

}  // namespace hashep
