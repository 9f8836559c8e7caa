// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/declare_rank_options.hpp"

#include <algorithm>
#include <map>

#include "benchmarks/declare_workload.hpp"
#include "benchmarks/exchange_table.hpp"
#include "benchmarks/layer_table.hpp"
#include "benchmarks/option_types.hpp"
#include "benchmarks/scale_table.hpp"
#include "hashep/error.hpp"
#include "launch/process/backend_words.hpp"

namespace hashep::bench {
namespace {

/// Returns the option of tokens per rank.
CLI::Option* declare_common(CLI::App& command, RankOptions& options) {
  CLI::Option* tokens_per_rank = add_count(command, "--tokens-per-rank", options.tokens_per_rank,
                                           "Tokens of a rank in a batch [16K]");
  add_count(command, "--hidden-size", options.hidden_size, "Width of a token [1024]");
  add_count(command, "--num-experts", options.num_experts, "Experts, over all ranks [16]");
  add_count(command, "--top-k", options.top_k, "Experts of a token [1]");
  add_dtypes(command, options.dtypes, "fp32, bf16 [fp32]");
  declare_workload(command, options.workload);
  add_count(command, "--threads", options.threads, "Threads of a rank [1]");
  command
      .add_option("--deadline", options.deadline, "Seconds that a wait for other ranks may take")
      ->capture_default_str();
  add_sampling(command, options.sampling);
  add_json(command, options.json_path);
  return tokens_per_rank;
}

/// ahead, inline, or both; in the order in which they are named, each once.
std::vector<PlanWhen> parse_planning(const std::vector<std::string>& words) {
  std::vector<PlanWhen> planning;
  for (const std::string& word : words) {
    std::vector<PlanWhen> named;
    if (word != "inline") named.push_back(PlanWhen::ahead);
    if (word != "ahead") named.push_back(PlanWhen::in_layer);
    if (word != "ahead" && word != "inline" && word != "both") {
      throw InputError("--planning " + word + ": known are ahead, inline, both");
    }
    for (const PlanWhen when : named) {
      if (std::find(planning.begin(), planning.end(), when) == planning.end()) {
        planning.push_back(when);
      }
    }
  }
  return planning;
}

constexpr Word<Device> kDevices[] = {{"cpu", Device::cpu}, {"cuda", Device::cuda}};

/// Transports by their words, or all.
void add_transports(CLI::App& command, std::vector<TransportKind>& kinds, const std::string& help) {
  const auto parse = [&kinds](const std::vector<std::string>& words) {
    kinds.clear();
    const bool all = std::find(words.begin(), words.end(), "all") != words.end();
    if (all && words.size() > 1) throw InputError("--transport all goes with no other name");
    if (all) return;
    for (const std::string& word : words) {
      kinds.push_back(parse_word("--transport", word, transport_words(), "transports"));
    }
  };
  command.add_option_function<std::vector<std::string>>("--transport", parse, help)->delimiter(',');
}

/// What the experts compute, and where they are.
void declare_experts_kind(CLI::App& command, LayerOptions& options) {
  const std::map<std::string, Activation> activations{
      {"relu", Activation::relu}, {"gelu", Activation::gelu}, {"silu", Activation::silu}};
  command.add_option("--activation", options.activation, "relu, gelu or silu (SwiGLU) [silu]")
      ->transform(CLI::CheckedTransformer(activations));
  const std::map<std::string, Score> scores{
      {"none", Score::none}, {"sqrtsoftplus", Score::sqrtsoftplus}, {"sigmoid", Score::sigmoid}};
  command
      .add_option("--score", options.score, "Weight of a choice: none (1/k) or sqrtsoftplus [none]")
      ->transform(CLI::CheckedTransformer(scores));
  command
      .add_option("--num-shared-experts", options.num_shared_experts,
                  "Experts on every rank for every token")
      ->capture_default_str();
  add_word(command, "--gemm-library", options.gemm_library, gemm_library_words(),
           "onednn, xsmm (LIBXSMM), or auto: the faster one here");
  command
      .add_option("--placement", options.common.placement,
                  "Experts on ranks: contiguous, or balanced by the ids' counts")
      ->check(CLI::IsMember({"contiguous", "balanced"}))
      ->capture_default_str();
}

}  // namespace

void declare_exchange(CLI::App& command, ExchangeOptions& options) {
  command.footer(std::string("Columns:\n") + kExchangeColumns + kDeviceExchangeColumns);
  CLI::Option* tokens_per_rank = declare_common(command, options.common);
  CLI::Option* least =
      add_count(command, "-b,--min-tokens", options.min_tokens, "Sweep: least tokens per rank")
          ->excludes(tokens_per_rank);
  add_count(command, "-e,--max-tokens", options.max_tokens, "Sweep: most tokens per rank [-b]")
      ->needs(least);
  add_count(command, "-f,--factor", options.factor, "Sweep: factor between sizes [2]")
      ->needs(least);
  add_transports(command, options.transports,
                 "mpi, shm, hier, nccl, ipc, auto, or all that are to be had [all]");
  add_word<Device>(command, "--device", options.device, kDevices,
                   "cpu, or cuda: a GPU for each rank");
  command.add_flag("--share-gpu", options.gpu.share_gpu,
                   "cuda: let ranks share a GPU; times say little then");
  add_word(command, "--bind-cpu", options.gpu.bind_cpu, automatic_words(),
           "cuda: ranks go near their GPU, or off");
  add_word(command, "--landing", options.gpu.landing, landing_words(),
           "nccl: direct (a message for each expert), unpack (one for each rank), or auto");
  add_word(command, "--overlap", options.gpu.overlap, switch_words(),
           "cuda: exchanges in parts, as layers that compute beside them have it, or off");
  command.add_option("-c,--check", options.check, "Check every element: 1, or 0 for not at all")
      ->check(CLI::Range(0, 1))
      ->capture_default_str();
}

void declare_layer(CLI::App& command, LayerOptions& options) {
  command.footer(std::string("Columns:\n") + kLayerColumns);
  declare_common(command, options.common);
  add_counts(command, "--ffn-size", options.ffn_sizes, "Widths of the experts [4096,1024]");
  declare_experts_kind(command, options);
  add_transports(command, options.transports,
                 "mpi, shm, hier, auto, or all that are to be had [auto]");
  add_count(command, "--num-layers", options.common.num_layers,
            "Layers of a batch; times are of all of them [1]");
  command
      .add_option_function<std::vector<std::string>>(
          "--planning",
          [&options](const std::vector<std::string>& words) {
            options.planning = parse_planning(words);
          },
          "Plans made ahead, or inline (exchanged and made in each layer), or both in turn [ahead; "
          "inline with --router learned]")
      ->delimiter(',');
  command.get_option("--router")
      ->description(command.get_option("--router")->get_description() +
                    "; or learned: a gate in each layer, whatever the ids");
  command
      .add_option_function<std::string>(
          "--gate", [&options](const std::string& text) { options.gate = parse_gate_kind(text); },
          "--router learned: softmax_top_k, or noaux_tc, whose --score is sigmoid or sqrtsoftplus "
          "[softmax_top_k]")
      ->type_name("KIND");
  command.add_flag("--backward", options.backward,
                   "Forward and backward of one batch, planned beforehand, and AdamW");
  command
      .add_option("--dump", options.dump_folder,
                  "For peers: write ids, inputs, weights and outputs of each rank to this folder")
      ->type_name("DIR");
}

void declare_scale(CLI::App& command, ScaleOptions& options) {
  command.footer(std::string("Columns:\n") + kScaleColumns +
                 "Instead of measuring, --predict RANKS --machine FILE predicts jobs of any size; "
                 "scale --predict 1 --help lists its options.\n");
  declare_common(command, options.layer.common);
  add_count(command, "--ffn-size", options.ffn_size, "Width of the experts [4096]");
  declare_experts_kind(command, options.layer);
  add_word(command, "--transport", options.transport, transport_words(), "auto, mpi, shm or hier",
           "transports");
  command
      .add_option("--mode", options.modes,
                  "strong (one batch over more ranks), weak (the same tokens for each) [both]")
      ->check(CLI::IsMember({"strong", "weak"}))
      ->delimiter(',');
  add_counts(command, "--ranks", options.ranks, "Sizes [1, 2, 4 ... and all]");
  add_count(command, "--batch-tokens", options.batch_tokens,
            "strong: tokens of a batch, over all ranks [--tokens-per-rank x the largest size]");
  add_count(command, "--experts-per-rank", options.experts_per_rank,
            "weak: experts grow with ranks [--num-experts over all ranks]");
  command.add_option("--repeats", options.repeats, "How often all sizes are measured in turn")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
}

}  // namespace hashep::bench
