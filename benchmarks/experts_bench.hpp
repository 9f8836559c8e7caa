// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "benchmarks/harness.hpp"
#include "hashep/backend.hpp"
#include "hashep/dtype.hpp"
#include "hashep/ffn_shape.hpp"

namespace hashep::bench {

/// What `hashep-bench experts` measures: all combinations.
struct ExpertsOptions {
  std::vector<int64_t> rows_per_expert{16, 64, 128, 256, 512};
  std::vector<int64_t> ffn_sizes{4096, 1024};
  std::vector<DType> dtypes{DType::f32, DType::bf16};
  std::vector<Activation> activations{Activation::relu, Activation::silu};
  int64_t hidden_size = 1024;
  int64_t num_experts = 8;
  int threads = 1;
  bool packed = false;                                // measure_packed_experts instead
  GemmLibrary gemm_library = GemmLibrary::automatic;  // of row `experts`
  Sampling sampling;
};

/// Measures ExpertFfn (row `experts`) beside oneDNN's GEMMs of the same shapes and packing with
/// nothing else (row `gemm_alone`), in turn, after a check that both give the same; prints a line
/// for each row. Returns the rows as JSON. Throws RunError where a result is wrong.
nlohmann::ordered_json measure_experts(const ExpertsOptions& options);

}  // namespace hashep::bench
