// SPDX-License-Identifier: Apache-2.0
#include "launch/run_options.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>

#include "core/error.hpp"
#include "core/result_json.hpp"
#include "core/units.hpp"
#include "runtime/exec/backend_factory.hpp"

namespace hashep {
namespace {

// Bounds that keep every product of sizes within int64.
constexpr int64_t kMaxInt64 = std::numeric_limits<int64_t>::max();
constexpr int64_t kMaxBatchTokens = int64_t{1} << 36;
constexpr int64_t kMaxSteps = int64_t{1} << 32;
constexpr int64_t kMaxThreads = 4096;
constexpr int64_t kMaxPlanDepth = 64;

void add_count(CLI::App& app, const std::string& name, int64_t& value,
               const std::string& description) {
  app.add_option_function<std::string>(
         name, [&value, name](const std::string& text) { value = parse_count(text, name); },
         description)
      ->type_name("N")
      ->default_str(std::to_string(value));
}

void declare_model(CLI::App& app, RunOptions& options) {
  const std::string group = "Model";
  ModelConfig& model = options.synthetic;
  app.add_option("--model", options.model, "Folder with config.json and *.safetensors")
      ->type_name("DIR")
      ->group(group);
  add_count(app, "--num-layers", model.num_layers, "Layers of a synthetic model");
  add_count(app, "--hidden-size", model.hidden_size, "Elements of a token's hidden state");
  add_count(app, "--ffn-size", model.ffn_size, "Elements of an expert's hidden activation");
  add_count(app, "--num-experts", model.num_experts, "Routed experts of a layer");
  add_count(app, "--top-k", options.top_k, "Experts of a token");
  add_count(app, "--num-shared-experts", model.num_shared_experts,
            "Experts that every token passes, on every rank");
  app.add_option("--activation", options.activation, "relu, gelu or silu (SwiGLU)");
  app.add_option("--swiglu-limit", model.swiglu_limit, "Clamp of SwiGLU; 0: none");
  app.add_option("--score", options.score, "Weight of a choice: none (1/k) or sqrtsoftplus");
  app.add_option("--routed-scaling-factor", model.routed_scaling_factor,
                 "Factor of sqrtsoftplus weights");
  add_count(app, "--vocab-size", model.vocab_size, "Token ids are in [0, this)");
  for (const char* name : {"--num-layers", "--hidden-size", "--ffn-size", "--num-experts",
                           "--top-k", "--num-shared-experts", "--activation", "--swiglu-limit",
                           "--score", "--routed-scaling-factor", "--vocab-size"}) {
    app.get_option(name)->group("Synthetic model (without --model)");
  }
}

void declare_routing(CLI::App& app, RunOptions& options) {
  const std::string group = "Routing";
  app.add_option("--router", options.router,
                 "token, position, previous, bigram (hashes), table, or balanced (a greedy table "
                 "from the tokens); default: the model's, or token")
      ->group(group);
  app.add_option(
         "--table", options.table,
         "tid2eid table (.safetensors, .npy) for --router table: one for all layers, or tensors "
         "layers.N.ffn.gate.tid2eid")
      ->type_name("FILE")
      ->group(group);
  add_count(app, "--seed", options.seed, "Seed of router, synthetic weights, tokens and states");
  app.get_option("--seed")->group(group);
  app.add_option("--placement", options.placement, "Experts on ranks: contiguous or balanced")
      ->group(group);
  app.add_option("--planning", options.planning,
                 "exchange (each rank routes its tokens) or replicated (each rank routes all; no "
                 "exchange)")
      ->group(group);
  add_count(app, "--plan-depth", options.plan_depth,
            "Batches planned ahead while one computes; 0: plan each when it is needed");
  app.get_option("--plan-depth")->group(group);
}

void declare_tokens(CLI::App& app, RunOptions& options) {
  const std::string group = "Tokens";
  app.add_option("--tokens", options.tokens.path,
                 "Token ids (.npy, .bin) or text (with --tokenizer); default: seeded Zipf")
      ->type_name("FILE")
      ->group(group);
  app.add_option("--token-dtype", options.tokens.bin_dtype, "Of a .bin file: u16, u32 or i32")
      ->group(group);
  app.add_option("--tokenizer", options.tokens.tokenizer, "SentencePiece model for text")
      ->type_name("FILE")
      ->group(group);
  app.add_option("--zipf", options.zipf, "Exponent of the seeded tokens; 0: uniform")->group(group);
  add_count(app, "--seq-len", options.seq_len,
            "Tokens of a sequence; 0: rows of a 2-D token file, else 1024");
  add_count(app, "--batch-tokens", options.batch_tokens, "Tokens of a step, over all ranks");
  add_count(app, "--steps", options.steps, "Steps to run");
  for (const char* name : {"--seq-len", "--batch-tokens", "--steps"}) {
    app.get_option(name)->group(group);
  }
  app.add_option("--hidden", options.hidden,
                 "Input: tensor hidden_states [batch_tokens, d]; default: seeded normal")
      ->type_name("FILE")
      ->group(group);
}

void declare_execution(CLI::App& app, RunOptions& options) {
  const std::string group = "Execution";
  app.add_option("--dtype", options.dtype, "fp32 or bf16")->group(group);
  app.add_option("--device", options.device, "auto (a GPU where one can be used), cpu or cuda")
      ->group(group);
  app.add_option("--graph", options.graph,
                 "GPU: replay steps as CUDA graphs: on, off, or auto (from the second step of a "
                 "shape on)")
      ->group(group);
  app.add_option("--expert-gemm", options.expert_gemm,
                 "GPU: per-expert, or grouped (one cuBLAS call for all experts of a layer)")
      ->group(group);
  app.add_option("--transport", options.transport, "auto, mpi, shm, hier, nccl or ipc")
      ->group(group);
  app.add_flag("--node-reduce", options.node_reduce,
               "hier: sum a node's contributions to a token before they return (fewer bytes; not "
               "the same bits: within 1e-5 in fp32, 1e-2 in bf16 for each layer)")
      ->group(group);
  app.add_option(
         "--overlap", options.overlap,
         "on: hier computes tiles while rows of other nodes travel; off: one after the other")
      ->group(group);
  app.add_option("--residual", options.residual, "on: x <- x + layer(x); off: x <- layer(x)")
      ->group(group);
  add_count(app, "--threads", options.threads, "Threads of a rank; 0: cores / ranks on the node");
  app.get_option("--threads")->group(group);
  app.add_option("--deadline", options.deadline, "Seconds that a wait for other ranks may take")
      ->type_name("SECONDS")
      ->group(group);
}

void declare_results(CLI::App& app, RunOptions& options) {
  const std::string group = "Results";
  app.add_flag("--check", options.check, "Check the first step against the naive oracle")
      ->group(group);
  add_count(app, "--check-tokens", options.check_tokens,
            "Tokens of a rank to check; 0: what takes a few seconds");
  app.get_option("--check-tokens")->group(group);
  app.add_option("--output", options.output,
                 "Run one step and write hidden_states (.safetensors), in global token order")
      ->type_name("FILE")
      ->group(group);
  app.add_option("--json", options.json, "Write the result as JSON")
      ->type_name("FILE")
      ->group(group);
  app.add_option("--trace", options.trace, "Write a Chrome trace (chrome://tracing, Perfetto)")
      ->type_name("FILE")
      ->group(group);
  app.add_option("--progress", options.progress, "auto, bar, lines or off")->group(group);
}

void require_one_of(const std::string& option, const std::string& value,
                    std::initializer_list<const char*> known) {
  std::string list;
  for (const char* name : known) {
    if (value == name) return;
    list += list.empty() ? name : std::string(", ") + name;
  }
  throw InputError(option + " " + value + ": known are " + list);
}

void require_between(const std::string& option, int64_t value, int64_t least, int64_t most) {
  if (value < least || value > most) {
    throw InputError(option + " " + std::to_string(value) + ": must be in [" +
                     std::to_string(least) + ", " + std::to_string(most) + "]");
  }
}

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

}  // namespace

bool RunOptions::is_given(const std::string& option) const {
  return std::find(given.begin(), given.end(), option) != given.end();
}

std::string version_text() {
  return "hashep " + std::string(version()) + " (" + std::string(commit()) + ")";
}

void declare_run_options(CLI::App& app, RunOptions& options) {
  app.option_defaults()->always_capture_default();
  declare_model(app, options);
  declare_routing(app, options);
  declare_tokens(app, options);
  declare_execution(app, options);
  declare_results(app, options);
  app.set_version_flag("--version", version_text(), "Version and commit");
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.set_config("--config", "", "Read any of these options from a TOML file (num-layers = 3 ...)")
      ->type_name("FILE.toml");
}

void validate_run_options(const RunOptions& options) {
  require_one_of("--dtype", options.dtype, {"fp32", "bf16"});
  require_one_of("--placement", options.placement, {"contiguous", "balanced"});
  require_one_of("--planning", options.planning, {"exchange", "replicated"});
  require_one_of("--overlap", options.overlap, {"on", "off"});
  require_one_of("--residual", options.residual, {"on", "off"});
  require_one_of("--progress", options.progress, {"auto", "bar", "lines", "off"});
  require_device(options.device);
  require_one_of("--graph", options.graph, {"auto", "on", "off"});
  require_one_of("--expert-gemm", options.expert_gemm, {"per-expert", "grouped"});
  require_transport(options.transport);
  if (!options.router.empty()) parse_router(options.router);
  parse_activation(options.activation);
  parse_score(options.score);
  require_one_of("--token-dtype", options.tokens.bin_dtype, {"u16", "u32", "i32"});
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
          {"--zipf", exact_text(options.zipf)},
          {"--seq-len", std::to_string(options.seq_len)},
          {"--batch-tokens", std::to_string(options.batch_tokens)},
          {"--steps", std::to_string(options.steps)},
          {"--hidden", options.hidden},
          {"--dtype", options.dtype},
          {"--device", options.device},
          {"--graph", options.graph},
          {"--expert-gemm", options.expert_gemm},
          {"--transport", options.transport},
          {"--node-reduce", options.node_reduce ? "on" : "off"},
          {"--overlap", options.overlap},
          {"--residual", options.residual},
          {"--deadline", exact_text(options.deadline)},
          {"--check", options.check ? "on" : "off"},
          {"--check-tokens", std::to_string(options.check_tokens)},
          {"--output", options.output},
          {"--json", options.json},
          {"--trace", options.trace}};
}

}  // namespace hashep
