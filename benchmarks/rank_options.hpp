// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "benchmarks/harness.hpp"
#include "benchmarks/plan_when.hpp"
#include "benchmarks/workloads/make_workload.hpp"
#include "hashep/backend.hpp"
#include "hashep/dtype.hpp"
#include "runtime/model/model_config.hpp"
#include "runtime/tokens/token_stream.hpp"

namespace hashep::bench {

/// What benchmarks on ranks share: shapes, tokens, and how to run.
struct RankOptions {
  int64_t tokens_per_rank = 16384;
  int64_t hidden_size = 1024;
  int64_t num_experts = 16;
  int64_t top_k = 1;
  std::vector<DType> dtypes{DType::f32};
  int64_t num_layers = 1;
  WorkloadOptions workload;              // but for its sizes, which are those above
  std::string placement = "contiguous";  // of experts; or balanced
  int64_t threads = 1;
  double deadline = 120.0;  // seconds
  Sampling sampling;
  std::string json_path;
};

/// The workload of these sizes.
WorkloadOptions workload_options(const RankOptions& options);

/// How ranks exchange on GPUs.
struct GpuExchangeOptions {
  bool share_gpu = false;
  bool bind_cpu = true;
  std::optional<Landing> landing;  // empty: by rule
  bool overlap = true;
};

/// What `hashep-bench exchange` measures: all combinations of sizes and dtypes, each with all
/// transports.
struct ExchangeOptions {
  RankOptions common;
  // A sweep of tokens per rank: min, min * factor, ... up to max. 0: none, tokens_per_rank alone.
  int64_t min_tokens = 0;
  int64_t max_tokens = 0;
  int64_t factor = 2;
  std::vector<TransportKind> transports;  // empty: all that are to be had
  int check = 1;
  Device device = Device::cpu;  // or cuda
  GpuExchangeOptions gpu;       // where the device is cuda

  /// Tokens per rank, ascending.
  std::vector<int64_t> sizes() const;
};

/// What `hashep-bench layer` measures: all combinations of transports, ffn_sizes and dtypes, each
/// with all ways of planning.
struct LayerOptions {
  RankOptions common;
  std::vector<int64_t> ffn_sizes{4096, 1024};
  int64_t num_shared_experts = 0;
  Activation activation = Activation::silu;
  Score score = Score::none;
  GemmLibrary gemm_library = GemmLibrary::automatic;
  std::vector<TransportKind> transports{TransportKind::automatic};  // empty: as in ExchangeOptions
  std::vector<PlanWhen> planning;  // empty: ahead, or inline with a gate
  std::optional<GateKind> gate;    // --router learned: a gate chooses experts in each layer
  bool backward = false;           // forward and backward, of one batch whose plans are at hand
  std::string dump_folder;  // where ranks write the first batch and their weights; empty: nowhere
};

/// Checks what the options alone can tell. Local. Throw InputError.
void validate(const ExchangeOptions& options);
void validate(const LayerOptions& options);

/// Fills in what --router learned, and options that are not given, stand for.
void complete(LayerOptions& options);

}  // namespace hashep::bench
