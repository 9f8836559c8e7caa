// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "benchmarks/sim/expert_time.hpp"
#include "hashep/dtype.hpp"

namespace hashep::bench {

/// What benchmarks/sim/simulate.py asks of the simulated ranks.
struct SimOptions {
  int64_t ranks_per_node = 8;  // the last node has what is left
  int64_t tokens_per_rank = 64;
  int64_t hidden_size = 2048;
  int64_t ffn_size = 2048;
  int64_t num_experts = 512;
  int64_t top_k = 1;
  int64_t vocab_size = 129280;
  int64_t seed = 1;
  DType dtype = DType::bf16;
  std::vector<std::string> transports = {"mpi", "hier"};
  GemmRates gemm;
  std::string json_path;  // empty: no file
};

/// Reads the command line; nothing where --help was asked for, which the rank that `speaks` has
/// answered. Throws InputError.
std::optional<SimOptions> parse_sim_options(int argc, const char* const* argv, bool speaks);

}  // namespace hashep::bench
