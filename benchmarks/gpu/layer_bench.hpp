// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "benchmarks/gpu/gpu_timer.hpp"
#include "benchmarks/gpu/layer_case.hpp"

namespace hashep::bench {

/// What to run.
struct LayerOptions {
  LayerSizes sizes;
  std::vector<int64_t> lanes = {1, 2, 4, 8};
  int64_t check_tokens = 8;
  std::string dump_path;  // where one layer goes for peers; empty: nowhere
};

/// Times one layer on one GPU: its phases, the whole, and beside them in the same run the dense
/// GEMMs of as many operations and the experts' GEMMs alone. Each way of issuing the GEMMs is
/// checked against the oracle first, and graphs against launches, to the bit.
std::vector<MeasuredRow> measure_layer(const LayerOptions& options, const GpuRun& run);

}  // namespace hashep::bench
