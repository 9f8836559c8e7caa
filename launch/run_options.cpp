// SPDX-License-Identifier: Apache-2.0
#include "launch/run_options.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>

#include "core/result_json.hpp"
#include "hashep/error.hpp"
#include "kernels/gemm/gemm_library.hpp"
#include "launch/option_checks.hpp"
#include "runtime/layer/backend_factory.hpp"
#include "runtime/layer/stack_placements.hpp"

namespace hashep {
namespace {

// Bounds that keep every product of sizes within int64.
constexpr int64_t kMaxInt64 = std::numeric_limits<int64_t>::max();
constexpr int64_t kMaxBatchTokens = int64_t{1} << 36;
constexpr int64_t kMaxSteps = int64_t{1} << 32;
constexpr int64_t kMaxThreads = 4096;
constexpr int64_t kMaxPlanDepth = 64;

/// The sizes of a synthetic model, by the names that the user gave them.
void require_model_sizes(const RunOptions& options) {
  const ModelConfig& model = options.synthetic;
  require_between("--num-layers", model.num_layers, 1, kMaxModelSize);
  require_between("--hidden-size", model.hidden_size, 1, kMaxModelSize);
  require_between("--ffn-size", model.ffn_size, 1, kMaxModelSize);
  require_between("--num-experts", model.num_experts, 1, kMaxModelSize);
  require_between("--num-shared-experts", model.num_shared_experts, 0, kMaxModelSize);
  require_between("--vocab-size", model.vocab_size, 1, kMaxVocabSize);
  if (options.top_k < 1 || options.top_k > model.num_experts) {
    throw InputError("--top-k " + std::to_string(options.top_k) + ": must be in [1, " +
                     std::to_string(model.num_experts) + "] (--num-experts)");
  }
}

/// Options of a synthetic model that others leave without effect.
void require_used_options(const RunOptions& options) {
  if (options.accept_unused) throw InputError("--accept-unused goes with --model DIR");
  if (options.synthetic.routed_scaling_factor != 1.0f && options.score == "none") {
    throw InputError("--routed-scaling-factor goes with --score sqrtsoftplus, not with none");
  }
  if (options.synthetic.swiglu_limit > 0.0f && options.activation != "silu") {
    throw InputError("--swiglu-limit goes with --activation silu, not with " + options.activation);
  }
}

}  // namespace

bool RunOptions::is_given(const std::string& option) const {
  return std::find(given.begin(), given.end(), option) != given.end();
}

void validate_run_options(const RunOptions& options) {
  require_one_of("--dtype", options.dtype, {"fp32", "bf16"});
  parse_placement(options.placement);
  require_one_of("--planning", options.planning, {"exchange", "replicated"});
  require_one_of("--overlap", options.overlap, {"on", "off"});
  require_one_of("--residual", options.residual, {"on", "off"});
  require_one_of("--progress", options.progress, {"auto", "bar", "lines", "off"});
  require_device(options.device);
  require_one_of("--bind-cpu", options.bind_cpu, {"auto", "off"});
  require_one_of("--landing", options.landing, {"auto", "direct", "unpack"});
  require_one_of("--graph", options.graph, {"auto", "on", "off"});
  require_one_of("--expert-gemm", options.expert_gemm, {"per-expert", "grouped", "fused"});
  gemm_library(options.gemm_library);
  require_transport(options.transport);
  if (!options.router.empty()) parse_router(options.router);
  parse_activation(options.activation);
  parse_score(options.score);
  require_between("--batch-tokens", options.batch_tokens, 1, kMaxBatchTokens);
  require_between("--steps", options.steps, 1,
                  std::min(kMaxSteps, kMaxInt64 / options.batch_tokens));
  require_between("--seq-len", options.seq_len, 0, kMaxInt64);
  require_between("--plan-depth", options.plan_depth, 0, kMaxPlanDepth);
  require_between("--threads", options.threads, 0, kMaxThreads);
  require_between("--check-tokens", options.check_tokens, 0, kMaxInt64);
  if (!std::isfinite(options.deadline) || options.deadline <= 0.0) {
    throw InputError("--deadline: must be a positive number of seconds");
  }
  if (!std::isfinite(options.setup_deadline) || options.setup_deadline <= 0.0) {
    throw InputError("--setup-deadline: must be a positive number of seconds");
  }
  if (!std::isfinite(options.zipf) || options.zipf < 0.0) {
    throw InputError("--zipf: must be a number that is not negative");
  }
  if (options.node_reduce && options.transport != "hier" && options.transport != "auto") {
    throw InputError("--node-reduce goes with --transport hier or auto, not with " +
                     options.transport);
  }
  if (!options.table.empty() && options.is_given("--router") && options.router != "table") {
    throw InputError("--table goes with --router table, not with --router " + options.router);
  }
  if (!options.model.empty()) {
    for (const char* option : {"--num-layers", "--hidden-size", "--ffn-size", "--num-experts",
                               "--top-k", "--num-shared-experts", "--activation", "--swiglu-limit",
                               "--score", "--routed-scaling-factor", "--vocab-size"}) {
      if (options.is_given(option)) {
        throw InputError(std::string(option) + " does not go with --model, which sets it");
      }
    }
  } else {
    require_model_sizes(options);
    require_used_options(options);
  }
}

std::string exact_text(double value) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.17g", value);
  return text.data();
}

std::vector<Setting> shared_settings(const RunOptions& options) {
  const ModelConfig& model = options.synthetic;
  return {{"version", std::string(version())},
          {"--model", options.model},
          {"--accept-unused", options.accept_unused ? "on" : "off"},
          {"--num-layers", std::to_string(model.num_layers)},
          {"--hidden-size", std::to_string(model.hidden_size)},
          {"--ffn-size", std::to_string(model.ffn_size)},
          {"--num-experts", std::to_string(model.num_experts)},
          {"--top-k", std::to_string(options.top_k)},
          {"--num-shared-experts", std::to_string(model.num_shared_experts)},
          {"--activation", options.activation},
          {"--swiglu-limit", exact_text(model.swiglu_limit)},
          {"--score", options.score},
          {"--routed-scaling-factor", exact_text(model.routed_scaling_factor)},
          {"--vocab-size", std::to_string(model.vocab_size)},
          {"--router", options.router},
          {"--table", options.table},
          {"--seed", options.is_given("--seed") ? std::to_string(options.seed) : "no value"},
          {"--placement", options.placement},
          {"--planning", options.planning},
          {"--plan-depth", std::to_string(options.plan_depth)},
          {"--tokens", options.tokens.path},
          {"--token-dtype", options.tokens.bin_dtype},
          {"--tokenizer", options.tokens.tokenizer},
          {"--padding-id", std::to_string(options.tokens.padding_id)},
          {"--zipf", exact_text(options.zipf)},
          {"--seq-len", std::to_string(options.seq_len)},
          {"--batch-tokens", std::to_string(options.batch_tokens)},
          {"--steps", std::to_string(options.steps)},
          {"--hidden", options.hidden},
          {"--dtype", options.dtype},
          {"--device", options.device},
          {"--share-gpu", options.share_gpu ? "on" : "off"},
          {"--bind-cpu", options.bind_cpu},
          {"--landing", options.landing},
          {"--graph", options.graph},
          {"--expert-gemm", options.expert_gemm},
          {"--gemm-library", options.gemm_library},
          {"--transport", options.transport},
          {"--node-reduce", options.node_reduce ? "on" : "off"},
          {"--overlap", options.overlap},
          {"--residual", options.residual},
          {"--deadline", exact_text(options.deadline)},
          {"--setup-deadline", exact_text(options.setup_deadline)},
          {"--check", options.check ? "on" : "off"},
          {"--check-tokens", std::to_string(options.check_tokens)},
          {"--output", options.output},
          {"--json", options.json},
          {"--trace", options.trace}};
}

}  // namespace hashep
