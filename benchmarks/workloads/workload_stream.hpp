// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "benchmarks/workloads/workload_rules.hpp"
#include "runtime/tokens/token_stream.hpp"

namespace hashep::bench {

/// The token ids of a workload by rules: batches of ep_size * tokens_per_rank tokens, step
/// after step. It must be read in batches of this size for the rules to hold.
std::unique_ptr<TokenStream> make_workload_stream(const WorkloadRules& rules);

}  // namespace hashep::bench
