// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "benchmarks/gpu/gpu_timer.hpp"
#include "benchmarks/gpu/layer_case.hpp"

namespace hashep::bench {

/// Times what a step costs the host, with graphs and without: CudaStack::run alone, the GPU being
/// idle before each. Checks first that both give the same bits.
std::vector<MeasuredRow> measure_launch(const LayerSizes& sizes, const GpuRun& run);

}  // namespace hashep::bench
