// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "comm/agreement.hpp"
#include "runtime/layer/planning_options.hpp"
#include "runtime/model/model_config.hpp"
#include "runtime/tokens/token_stream.hpp"

namespace hashep {

/// The command line of `hashep run`, as the user gave it.
struct RunOptions {
  // Model: a folder, or sizes of a synthetic one.
  std::string model;
  bool accept_unused = false;
  ModelConfig synthetic = {.num_layers = 2,
                           .hidden_size = 512,
                           .ffn_size = 1024,
                           .num_experts = 16,
                           .num_shared_experts = 0,
                           .top_k = 1,
                           .vocab_size = 32768,
                           .router = RouterKind::token};
  int64_t top_k = 1;
  std::string activation = "silu";
  std::string score = "none";

  // Routing.
  std::string router;  // empty: the model's own, or token
  std::string table;
  int64_t seed = 0;
  std::string placement = "contiguous";
  std::string planning = "exchange";
  int64_t plan_depth = 1;

  // Tokens and hidden states.
  TokenFile tokens;  // an empty path: seeded Zipf
  double zipf = 1.0;
  int64_t seq_len = 0;  // 0: the rows of a 2-D token file, else 1024
  int64_t batch_tokens = 4096;
  int64_t steps = 10;
  std::string hidden;

  // How to compute.
  std::string dtype = "fp32";
  std::string device = "auto";
  bool share_gpu = false;
  std::string bind_cpu = "auto";
  std::string landing = "auto";
  std::string graph = "auto";
  std::string expert_gemm = "per-expert";
  std::string transport = "auto";
  bool node_reduce = false;
  std::string overlap = "on";
  std::string residual = "on";
  int64_t threads = 0;  // 0: choose_threads
  std::string gemm_library = "auto";
  double deadline = 120.0;         // seconds
  double setup_deadline = 3600.0;  // seconds

  // What comes out.
  bool check = false;
  int64_t check_tokens = 0;  // 0: as many as take the oracle a few seconds
  std::string output;
  std::string json;
  std::string trace;
  std::string progress = "auto";

  /// What the user gave explicitly, by option name; filled after parsing.
  std::vector<std::string> given;

  bool is_given(const std::string& option) const;
};

/// Checks what one option alone, or two together, can tell. Local. Throws InputError.
void validate_run_options(const RunOptions& options);

/// A number with all its digits, so that any difference between ranks shows.
std::string exact_text(double value);

/// All that must be equal on all ranks, as text; the program's version comes first.
std::vector<Setting> shared_settings(const RunOptions& options);

}  // namespace hashep
