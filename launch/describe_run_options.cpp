// SPDX-License-Identifier: Apache-2.0
#include "launch/describe_run_options.hpp"

#include "launch/process/backend_words.hpp"
#include "launch/process/source_words.hpp"

namespace hashep {
namespace {

// Bounds that keep every product of sizes within int64.
constexpr int64_t kMaxBatchTokens = int64_t{1} << 36;
constexpr int64_t kMaxSteps = int64_t{1} << 32;
constexpr int64_t kMaxThreads = 4096;

constexpr Word<ModelLayers> kLayers[] = {{"hash", ModelLayers::hash}, {"all", ModelLayers::all}};
constexpr Word<Planning> kPlannings[] = {{"exchange", Planning::exchange},
                                         {"replicated", Planning::replicated}};

void describe_run_model(OptionTable& table, RunOptions& options) {
  table.begin_group("Model");
  describe_model(table, options);
  table.word<ModelLayers>(
      "--layers", options.layers, kLayers,
      "Of the folder: hash (the hash-routed ones), or all (those with a learned "
      "gate too)");
  table.flag("--accept-unused", options.accept_unused,
             "Run though config.json has no use for some tensors of the layers, "
             "which are named; without it that is an error");
  table.begin_group(kSyntheticModel);
  describe_sizes(table, options);
  describe_experts(table, options);
}

void describe_run_routing(OptionTable& table, RunOptions& options) {
  table.begin_group("Routing");
  describe_routers_and_baselines(table, options);
  describe_placement(table, options.placement);
  table.word<Planning>(
      "--planning", options.planning, kPlannings,
      "exchange (each rank routes its tokens) or replicated (each rank routes all; "
      "no exchange)");
  describe_plan_depth(table, options.plan_depth);
}

void describe_run_tokens(OptionTable& table, RunOptions& options) {
  table.begin_group("Tokens");
  describe_tokens(table, options);
  table.count("--batch-tokens", options.batch_tokens, {.least = 1, .most = kMaxBatchTokens},
              "Tokens of a step, over all ranks");
  table.count("--steps", options.steps, {.least = 1, .most = kMaxSteps}, "Steps to run");
  table.text("--hidden", options.hidden, "FILE",
             "Input: tensor hidden_states [batch_tokens, d]; default: seeded normal");
}

void describe_execution(OptionTable& table, RunOptions& options) {
  table.begin_group("Execution");
  table.word("--dtype", options.dtype, dtype_words(), "fp32 or bf16");
  table.word("--device", options.device, device_words(),
             "auto (a GPU where one can be used), cpu or cuda", "devices");
  table.word("--transport", options.transport, transport_words(),
             "auto, mpi, shm, hier, nccl or ipc", "transports");
  table.flag("--node-reduce", options.node_reduce,
             "hier: sum a node's contributions to a token before they return (fewer bytes; not "
             "the same bits: within 1e-5 in fp32, 1e-2 in bf16 for each layer)");
  table.word("--overlap", options.overlap, switch_words(),
             "on: experts compute while further rows travel (hier, and between GPUs); off: one "
             "after the other");
  table.word("--residual", options.residual, switch_words(),
             "on: x <- x + layer(x); off: x <- layer(x)");
  table.count(
      "--threads", options.threads, {.least = 0, .most = kMaxThreads},
      "Threads of a rank; 0: OMP_NUM_THREADS, else its share of the cores that the ranks of "
      "its node were granted");
  table.may_differ();
  table.word("--gemm-library", options.gemm_library, gemm_library_words(),
             "GEMMs on CPUs: onednn, xsmm (LIBXSMM), or auto (xsmm where there is AVX2 and no "
             "AVX-512)");
  table.word("--weights", options.weight_form, weight_form_words(),
             "Quantised weights (FP8, FP4) in memory: packed, as they are stored, or expanded to "
             "--dtype; auto: packed on CPUs where blocks of scales are multiples of 8 inputs");
  table.count(
      "--weight-memory", options.weight_memory, {.least = 0},
      "Bytes of a rank for routed experts: those that fit are held, others are read from the "
      "model's files when plans say that they will be needed; 0: all are held");
  table.word(
      "--read-ahead", options.weights_ahead, switch_words(),
      "off: experts of --weight-memory are read when they are used, and the one that was used "
      "longest ago goes, as without plans: to compare");
  table
      .number("--deadline", options.deadline,
              "Seconds that a wait for other ranks may take, MPI_Init included")
      ->type_name("SECONDS");
  table
      .number("--setup-deadline", options.setup_deadline,
              "Seconds that set-up may take, as long as ranks that read a model show signs of "
              "life within the deadline")
      ->type_name("SECONDS");
}

void describe_gpu(OptionTable& table, RunOptions& options) {
  table.begin_group("GPU");
  table.flag("--share-gpu", options.share_gpu,
             "Let ranks share a GPU where a node has more ranks than GPUs");
  table.word("--bind-cpu", options.bind_cpu, automatic_words(),
             "auto: a rank that the launcher has not bound runs on the cores near its GPU; off: "
             "where the system puts it");
  table.word("--landing", options.landing, landing_words(),
             "nccl: direct (a message for each expert, into its rows), unpack (one for each "
             "rank, then a kernel), or auto (direct where messages are large)");
  table.word("--graph", options.graph, graph_words(),
             "Replay steps as CUDA graphs: on, off, or auto (from the second step of a "
             "shape on)");
  table.word("--expert-gemm", options.expert_gemm, expert_gemm_words(),
             "per-expert, grouped (one cuBLAS call for all experts of a layer), or fused (one "
             "launch for all, activation included: bf16 on H100 and H200)");
}

void describe_results(OptionTable& table, RunOptions& options) {
  table.begin_group("Results");
  table.flag("--check", options.check, "Check the first step against the naive oracle");
  table.count("--check-tokens", options.check_tokens, {.least = 0},
              "Tokens of a rank to check; 0: what takes a few seconds");
  table.text("--output", options.output, "FILE",
             "Run one step and write hidden_states (.safetensors), in global token order; all "
             "ranks write to the one file, which has to be where all of them see it");
  table.text("--json", options.json, "FILE", "Write the result as JSON");
  table.text("--trace", options.trace, "FILE", "Write a Chrome trace (chrome://tracing, Perfetto)");
  table.word("--progress", options.progress, progress_words(), "auto, bar, lines or off");
  table.may_differ();
}

}  // namespace

void describe_run_options(OptionTable& table, RunOptions& options) {
  describe_run_model(table, options);
  describe_run_routing(table, options);
  describe_run_tokens(table, options);
  describe_execution(table, options);
  describe_gpu(table, options);
  describe_results(table, options);
}

}  // namespace hashep
