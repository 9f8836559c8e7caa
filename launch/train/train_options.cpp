// SPDX-License-Identifier: Apache-2.0
#include "launch/train/train_options.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

#include "hashep/error.hpp"
#include "hashep/version.hpp"
#include "kernels/gemm/gemm_library.hpp"
#include "launch/process/backend_words.hpp"
#include "launch/process/command_line.hpp"
#include "launch/process/source_words.hpp"

namespace hashep {
namespace {

constexpr int64_t kMostSteps = int64_t{1} << 32;
constexpr int64_t kMostBatchTokens = int64_t{1} << 32;
constexpr int64_t kMostContext = 64;
constexpr int64_t kMostThreads = 4096;

/// Options that results do not follow from, so that a run may go on with others.
constexpr std::array<std::string_view, 18> kOfMachine = {
    "--tokens",   "--table",  "version",     "--transport", "--threads",        "--gemm-library",
    "--deadline", "--json",   "--csv",       "--progress",  "--save",           "--save-every",
    "--keep",     "--resume", "--recompute", "--placement", "--evaluate-every", "--tokenizer"};

void describe_training(OptionTable& table, TrainOptions& options) {
  table.begin_group("Training");
  table.count("--context", options.context, {.least = 1, .most = kMostContext},
              "Tokens whose embeddings a prediction begins with");
  table.count("--batch-tokens", options.batch_tokens, {.least = 1, .most = kMostBatchTokens},
              "Tokens of a step, over all ranks");
  table.count("--steps", options.steps, {.least = 1, .most = kMostSteps},
              "Steps in all, those of a run that is resumed included");
  table.number("--lr", options.learning_rate, "Learning rate, the highest one");
  table.count("--warmup", options.warmup, {.least = 0, .most = kMostSteps},
              "Steps in which the rate rises to that; then it falls as a cosine");
  table.number("--final-lr-share", options.final_share,
               "What is left of the rate at the last step: a share of it");
  table.number("--weight-decay", options.weight_decay, "Of AdamW, for matrices");
  table.number("--clip-norm", options.clip_norm, "The largest norm of all gradients; 0: no limit");
  table.count("--gradient-block", options.gradient_block, {.least = 1, .most = kMostBatchTokens},
              "Tokens whose gradients of what all ranks hold are made together; ranks split a "
              "batch between blocks");
  table.flag("--recompute", options.recompute,
             "Compute pre-activations again in backward: a smaller tape, the same bits");
  table.number("--balance-loss", options.balance_loss,
               "--router learned: factor of the load-balancing loss");
  table.number("--z-loss", options.z_loss, "--router learned: factor of the z-loss");
  table.number("--bias-step", options.bias_step,
               "--gate noaux_tc: step of its biases towards even loads");
  table.count("--held-out", options.held_out, {.least = 0},
              "Tokens at the end of the file that are not trained on; 0: none");
  table.count("--evaluate-every", options.evaluate_every, {.least = 1},
              "Steps from one measurement of the held-out perplexity to the next");
}

void describe_checkpoints(OptionTable& table, TrainOptions& options) {
  table.begin_group("Checkpoints");
  table.text("--save", options.save, "DIR",
             "Write checkpoints to this folder, which all ranks see; each is a model folder");
  table.count("--save-every", options.save_every, {.least = 1},
              "Steps from one checkpoint to the next; the last step has one too");
  table.count("--keep", options.keep_last, {.least = 1, .most = 1000000}, "Checkpoints to keep");
  table.flag(
      "--resume", options.resume,
      "Go on from the latest checkpoint of --save, on any number of ranks; begin where there "
      "is none");
}

void describe_execution(OptionTable& table, TrainOptions& options) {
  table.begin_group("Execution");
  describe_placement(table, options.placement);
  table.word("--dtype", options.dtype, dtype_words(), "Of the layers: fp32 or bf16");
  table.word("--transport", options.transport, transport_words(), "auto, mpi, shm or hier",
             "transports");
  table.count("--threads", options.threads, {.least = 0, .most = kMostThreads},
              "Threads of a rank; 0: OMP_NUM_THREADS, else its share of the cores");
  table.may_differ();
  table.word("--gemm-library", options.gemm_library, gemm_library_words(),
             "GEMMs of experts: onednn, xsmm or auto");
  table.number("--deadline", options.deadline, "Seconds that a wait for other ranks may take")
      ->type_name("SECONDS");
}

void describe_results(OptionTable& table, TrainOptions& options) {
  table.begin_group("Results");
  table.text("--json", options.json, "FILE", "Write the result, with its curves, as JSON");
  table.text("--csv", options.csv, "FILE", "Write the curves as CSV");
  table.word("--progress", options.progress, progress_words(), "auto, bar, lines or off");
  table.may_differ();
}

void require_number(const char* option, double value, double least, double most,
                    const char* range) {
  if (value >= least && value <= most) return;
  throw InputError(std::string(option) + ": must be " + range);
}

void validate(const TrainOptions& options) {
  require_gemm_library(options.gemm_library);
  if (options.transport == TransportKind::nccl || options.transport == TransportKind::ipc) {
    throw InputError("--transport: training is on CPUs, with auto, mpi, shm or hier");
  }
  constexpr double kMost = 1e30;
  require_number("--lr", options.learning_rate, 1e-30, kMost, "above 0");
  require_number("--final-lr-share", options.final_share, 0.0, 1.0, "in [0, 1]");
  require_number("--weight-decay", options.weight_decay, 0.0, kMost, "at least 0");
  require_number("--clip-norm", options.clip_norm, 0.0, kMost, "at least 0");
  require_number("--balance-loss", options.balance_loss, 0.0, kMost, "at least 0");
  require_number("--z-loss", options.z_loss, 0.0, kMost, "at least 0");
  require_number("--bias-step", options.bias_step, 0.0, kMost, "at least 0");
  require_number("--deadline", options.deadline, 1e-3, kMost, "a positive number of seconds");
  if (options.tokens.path.empty()) throw InputError("--tokens FILE is needed: text to learn from");
  if (options.warmup > options.steps) {
    throw InputError("--warmup " + std::to_string(options.warmup) + " of --steps " +
                     std::to_string(options.steps));
  }
  if (options.resume && options.save.empty()) throw InputError("--resume goes with --save DIR");
}

bool is_of_machine(const std::string& name) {
  return std::ranges::find(kOfMachine, name) != kOfMachine.end();
}

}  // namespace

TrainCommandLine parse_train_command_line(int argc, const char* const* argv) {
  TrainOptions options;
  options.synthetic.hidden_size = 128;
  options.synthetic.ffn_size = 256;
  options.synthetic.vocab_size = 8000;
  options.top_k = 2;
  CLI::App app(
      "Trains a neural n-gram language model (Bengio et al. 2003) with MoE layers on text: the "
      "embeddings of the last tokens, residual expert-parallel layers, softmax over the "
      "vocabulary. "
      "mpirun -np 2 hashep train --tokens data/kjv.bin --vocab-size 8000 --router token. Any "
      "number "
      "of ranks ends with the same bits.",
      "hashep train");
  app.option_defaults()->always_capture_default();
  OptionTable table(app);
  table.begin_group("Model");
  describe_sizes(table, options);
  describe_experts(table, options);
  table.begin_group("Routing");
  describe_routers_and_baselines(table, options);
  table.begin_group("Tokens");
  describe_tokens(table, options);
  describe_training(table, options);
  describe_checkpoints(table, options);
  describe_execution(table, options);
  describe_results(table, options);
  if (std::optional<std::string> answer = parse_command_line(app, argc, argv)) {
    return {std::nullopt, std::move(*answer)};
  }
  require_routing(app, options);
  validate(options);
  options.settings = table.settings();
  for (const Setting& setting : options.settings) {
    if (!is_of_machine(setting.first)) options.of_run.push_back(setting);
  }
  options.settings.insert(options.settings.begin(), {"version", std::string(version())});
  return {std::move(options), ""};
}

}  // namespace hashep
