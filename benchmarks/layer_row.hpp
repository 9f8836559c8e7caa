// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "benchmarks/layer_table.hpp"
#include "benchmarks/rank_options.hpp"
#include "benchmarks/workload.hpp"
#include "runtime/model/model_config.hpp"

namespace hashep::bench {

/// A row of `hashep-bench layer`: what was measured, of which layer and workload. What is left to
/// say are planning, transport, rates and what was wrong.
LayerRow make_layer_row(const std::string& name, const RankSamples& samples,
                        const RankOptions& options, const ModelConfig& config, DType dtype,
                        const Workload& workload);

}  // namespace hashep::bench
