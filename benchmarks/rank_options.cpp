// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/rank_options.hpp"

#include <cmath>

#include "hashep/error.hpp"
#include "kernels/gemm/gemm_library.hpp"
#include "kernels/rows/combine.hpp"
#include "launch/process/option_types.hpp"
#include "runtime/layer/backend_factory.hpp"

namespace hashep::bench {
namespace {

// With kMaxModelSize, and rows of a batch bounded (see Workload), bytes stay within int64.
constexpr int64_t kMaxTokens = int64_t{1} << 30;  // of a rank
constexpr int64_t kMaxThreads = 4096;
constexpr int64_t kMaxLayers = 256;  // PhaseLog keeps the phases of a burst of batches

void validate_common(const RankOptions& options) {
  require_between("--tokens-per-rank", options.tokens_per_rank, 1, kMaxTokens);
  require_between("--hidden-size", options.hidden_size, 1, kMaxModelSize);
  require_between("--num-experts", options.num_experts, 1, kMaxModelSize);
  require_between("--top-k", options.top_k, 1, options.num_experts);
  require_between("--num-layers", options.num_layers, 1, kMaxModelSize);
  require_between("--vocab-size", options.workload.vocab_size, 1, kMaxVocabSize);
  require_between("--threads", options.threads, 1, kMaxThreads);
  if (!std::isfinite(options.deadline) || options.deadline <= 0.0) {
    throw InputError("--deadline: must be a positive number of seconds");
  }
  workload_kind(workload_options(options));
}

void validate_transports(const std::vector<TransportKind>& kinds) {
  for (const TransportKind kind : kinds) require_transport(kind);
}

}  // namespace

WorkloadOptions workload_options(const RankOptions& options) {
  WorkloadOptions workload = options.workload;
  workload.num_layers = options.num_layers;
  workload.num_experts = options.num_experts;
  workload.top_k = options.top_k;
  return workload;
}

std::vector<int64_t> ExchangeOptions::sizes() const {
  if (min_tokens == 0) return {common.tokens_per_rank};
  std::vector<int64_t> sizes;
  for (int64_t tokens = min_tokens; tokens <= max_tokens; tokens *= factor) sizes.push_back(tokens);
  return sizes;
}

void validate(const ExchangeOptions& options) {
  validate_common(options.common);
  if (options.device == Device::cuda) {
    require_between("--top-k", options.common.top_k, 1, kMaxDeviceTopK);
  }
  if (options.min_tokens != 0) {
    require_between("-e", options.max_tokens, 1, kMaxTokens);
    require_between("-f", options.factor, 2, kMaxTokens);
    if (options.max_tokens < options.min_tokens) {
      throw InputError("-e " + std::to_string(options.max_tokens) + " is less than -b " +
                       std::to_string(options.min_tokens));
    }
  }
  validate_transports(options.transports);
}

void complete(LayerOptions& options) {
  std::string& router = options.common.workload.router;
  if (router == "learned") {
    router.clear();
    options.gate = options.gate.value_or(GateKind::softmax_top_k);
    if (options.gate == GateKind::noaux_tc && options.score == Score::none) {
      options.score = Score::sigmoid;
    }
  } else if (options.gate) {
    throw InputError("--gate goes with --router learned");
  }
  if (options.planning.empty()) {
    options.planning = {options.gate ? PlanWhen::in_layer : PlanWhen::ahead};
  }
}

void validate(const LayerOptions& options) {
  validate_common(options.common);
  for (const int64_t ffn_size : options.ffn_sizes) {
    require_between("--ffn-size", ffn_size, 1, kMaxModelSize);
  }
  require_between("--num-layers", options.common.num_layers, 1, kMaxLayers);
  require_between("--num-shared-experts", options.num_shared_experts, 0, kMaxModelSize);
  validate_transports(options.transports);
  require_gemm_library(options.gemm_library);
  if (options.gate && options.planning != std::vector{PlanWhen::in_layer}) {
    throw InputError("--router learned goes with --planning inline: a gate plans in the layer");
  }
  if (options.gate && (options.backward || !options.dump_folder.empty())) {
    throw InputError("--router learned does not go with --backward, nor with --dump");
  }
  if (options.backward && (options.common.num_layers != 1 || options.num_shared_experts != 0 ||
                           options.score != Score::none)) {
    throw InputError("--backward takes one layer without shared experts, --score none");
  }
  if (!options.dump_folder.empty() &&
      options.ffn_sizes.size() * options.common.dtypes.size() != 1) {
    throw InputError("--dump takes one --ffn-size and one --dtype");
  }
  if (!options.dump_folder.empty() &&
      (options.common.num_layers != 1 || options.num_shared_experts != 0)) {
    throw InputError("--dump takes one layer without shared experts");
  }
}

}  // namespace hashep::bench
