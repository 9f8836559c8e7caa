// SPDX-License-Identifier: Apache-2.0
#include "launch/declare_run_options.hpp"

#include "core/result_json.hpp"
#include "launch/option_checks.hpp"
#include "launch/token_options.hpp"

namespace hashep {
namespace {

void declare_model(CLI::App& app, RunOptions& options) {
  const std::string group = "Model";
  ModelConfig& model = options.synthetic;
  app.add_option("--model", options.model, "Folder with config.json and *.safetensors")
      ->type_name("DIR")
      ->group(group);
  app.add_flag("--accept-unused", options.accept_unused,
               "Run though config.json has no use for some tensors of the hash-routed layers, "
               "which are named; without it that is an error")
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
  app.add_option("--placement", options.placement,
                 "Experts on ranks: contiguous, balanced, or a file of `hashep placement` (*.json)")
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
  declare_token_format(app, options.tokens, group);
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
  app.add_option("--transport", options.transport, "auto, mpi, shm, hier, nccl or ipc")
      ->group(group);
  app.add_flag("--node-reduce", options.node_reduce,
               "hier: sum a node's contributions to a token before they return (fewer bytes; not "
               "the same bits: within 1e-5 in fp32, 1e-2 in bf16 for each layer)")
      ->group(group);
  app.add_option("--overlap", options.overlap,
                 "on: experts compute while further rows travel (hier, and between GPUs); off: one "
                 "after the "
                 "other")
      ->group(group);
  app.add_option("--residual", options.residual, "on: x <- x + layer(x); off: x <- layer(x)")
      ->group(group);
  add_count(
      app, "--threads", options.threads,
      "Threads of a rank; 0: OMP_NUM_THREADS, else its share of the cores that the ranks of its "
      "node were granted");
  app.get_option("--threads")->group(group);
  app.add_option("--gemm-library", options.gemm_library,
                 "GEMMs on CPUs: onednn, xsmm (LIBXSMM), or auto (xsmm where there is AVX2 and no "
                 "AVX-512)")
      ->group(group);
  app.add_option("--deadline", options.deadline,
                 "Seconds that a wait for other ranks may take, MPI_Init included")
      ->type_name("SECONDS")
      ->group(group);
  app.add_option("--setup-deadline", options.setup_deadline,
                 "Seconds that set-up may take, as long as ranks that read a model show signs of "
                 "life within the deadline")
      ->type_name("SECONDS")
      ->group(group);
}

void declare_gpu(CLI::App& app, RunOptions& options) {
  const std::string group = "GPU";
  app.add_flag("--share-gpu", options.share_gpu,
               "Let ranks share a GPU where a node has more ranks than GPUs")
      ->group(group);
  app.add_option(
         "--bind-cpu", options.bind_cpu,
         "auto: a rank that the launcher has not bound runs on the cores near its GPU; off: "
         "where the system puts it")
      ->group(group);
  app.add_option("--landing", options.landing,
                 "nccl: direct (a message for each expert, into its rows), unpack (one for each "
                 "rank, then a kernel), or auto (direct where messages are large)")
      ->group(group);
  app.add_option("--graph", options.graph,
                 "Replay steps as CUDA graphs: on, off, or auto (from the second step of a "
                 "shape on)")
      ->group(group);
  app.add_option("--expert-gemm", options.expert_gemm,
                 "per-expert, grouped (one cuBLAS call for all experts of a layer), or fused (one "
                 "launch for all, activation included: bf16 on H100 and H200)")
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
                 "Run one step and write hidden_states (.safetensors), in global token order; all "
                 "ranks write to the one file, which has to be where all of them see it")
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

}  // namespace

void declare_run_options(CLI::App& app, RunOptions& options) {
  app.option_defaults()->always_capture_default();
  declare_model(app, options);
  declare_routing(app, options);
  declare_tokens(app, options);
  declare_execution(app, options);
  declare_gpu(app, options);
  declare_results(app, options);
  app.set_version_flag("--version", version_text(), "Version and commit");
  app.allow_config_extras(CLI::config_extras_mode::error);
  app.set_config("--config", "", "Read any of these options from a TOML file (num-layers = 3 ...)")
      ->type_name("FILE.toml");
}

}  // namespace hashep
