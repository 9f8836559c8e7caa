// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "benchmarks/gpu/gpu_timer.hpp"
#include "hashep/dtype.hpp"

namespace hashep::bench {

/// What to move.
struct RowsOptions {
  int64_t tokens = 8192;
  int64_t hidden_size = 4096;
  int64_t num_experts = 64;
  std::vector<int64_t> top_k = {1, 6};
  std::vector<DType> dtypes = {DType::bf16, DType::f32};
};

/// Times dispatch (permute to expert-major order), combine (unpermute with weights) and the gate on
/// one GPU, each beside a device copy of as many bytes. Checks each result first, in poisoned
/// memory.
std::vector<MeasuredRow> measure_rows(const RowsOptions& options, const GpuRun& run);

}  // namespace hashep::bench
