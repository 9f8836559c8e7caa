// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/declare_rank_options.hpp"

#include <map>

#include "benchmarks/exchange_table.hpp"
#include "benchmarks/option_types.hpp"

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
  CLI::Option* workload =
      command.add_option("--workload", options.workload, "Seeded token ids: uniform or zipf")
          ->check(CLI::IsMember({"uniform", "zipf"}))
          ->capture_default_str();
  command
      .add_option("--tokens", options.tokens.path,
                  "Token ids (.npy, .bin) or text (with --tokenizer) instead")
      ->type_name("FILE")
      ->excludes(workload);
  command.add_option("--token-dtype", options.tokens.bin_dtype, "Of a .bin file: u16, u32 or i32")
      ->check(CLI::IsMember({"u16", "u32", "i32"}))
      ->capture_default_str();
  command.add_option("--tokenizer", options.tokens.tokenizer, "SentencePiece model for text")
      ->type_name("FILE");
  add_count(command, "--vocab-size", options.vocab_size, "Token ids are in [0, this) [32K]");
  add_count(command, "--threads", options.threads, "Threads of a rank [1]");
  command
      .add_option("--deadline", options.deadline, "Seconds that a wait for other ranks may take")
      ->capture_default_str();
  add_sampling(command, options.sampling);
  add_json(command, options.json_path);
  return tokens_per_rank;
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
  command
      .add_option("--transport", options.transports,
                  "mpi, shm, hier, nccl, ipc, auto, or all that are to be had [all]")
      ->delimiter(',');
  command.add_option("--device", options.device, "cpu, or cuda: a GPU for each rank")
      ->check(CLI::IsMember({"cpu", "cuda"}))
      ->capture_default_str();
  command.add_flag("--share-gpu", options.gpu.share_gpu,
                   "cuda: let ranks share a GPU; times say little then");
  command.add_option("--bind-cpu", options.gpu.bind_cpu, "cuda: ranks go near their GPU, or off")
      ->check(CLI::IsMember({"auto", "off"}))
      ->capture_default_str();
  command
      .add_option("--landing", options.gpu.landing,
                  "nccl: direct (a message for each expert), unpack (one for each rank), or auto")
      ->check(CLI::IsMember({"auto", "direct", "unpack"}))
      ->capture_default_str();
  command
      .add_option("--overlap", options.gpu.overlap,
                  "cuda: exchanges in parts, as layers that compute beside them have it, or off")
      ->check(CLI::IsMember({"on", "off"}))
      ->capture_default_str();
  command.add_option("-c,--check", options.check, "Check every element: 1, or 0 for not at all")
      ->check(CLI::Range(0, 1))
      ->capture_default_str();
}

void declare_layer(CLI::App& command, LayerOptions& options) {
  declare_common(command, options.common);
  add_counts(command, "--ffn-size", options.ffn_sizes, "Widths of the experts [4096,1024]");
  const std::map<std::string, Activation> activations{
      {"relu", Activation::relu}, {"gelu", Activation::gelu}, {"silu", Activation::silu}};
  command.add_option("--activation", options.activation, "relu, gelu or silu (SwiGLU) [silu]")
      ->transform(CLI::CheckedTransformer(activations));
  const std::map<std::string, Score> scores{{"none", Score::none},
                                            {"sqrtsoftplus", Score::sqrtsoftplus}};
  command
      .add_option("--score", options.score, "Weight of a choice: none (1/k) or sqrtsoftplus [none]")
      ->transform(CLI::CheckedTransformer(scores));
  command.add_option("--transport", options.transport, "auto, mpi, shm, hier, nccl or ipc")
      ->capture_default_str();
  command
      .add_option("--dump", options.dump_folder,
                  "For peers: write ids, inputs, weights and outputs of each rank to this folder")
      ->type_name("DIR");
}

}  // namespace hashep::bench
