// SPDX-License-Identifier: Apache-2.0
#include "launch/table_build_options.hpp"

#include <cmath>

#include "hashep/error.hpp"
#include "launch/process/option_types.hpp"
#include "launch/single_process.hpp"
#include "launch/token_options.hpp"
#include "runtime/model/model_config.hpp"
#include "runtime/tables/spread_builder.hpp"

namespace hashep {
namespace {

constexpr int64_t kMaxLayers = 4096;
constexpr int64_t kMaxRanks = int64_t{1} << 20;
constexpr int64_t kMaxThreads = 4096;

/// What the options say before they are made sense of.
struct Words {
  std::vector<std::string> tokens;
  TokenFile format;  // of all files
  std::string target;
  std::string dtype = "i32";
};

void declare(CLI::App& app, TableBuildOptions& options, Words& words) {
  app.option_defaults()->always_capture_default();
  app.add_option("--tokens", words.tokens,
                 "Token ids (.npy, .bin) or text (with --tokenizer), any number of files")
      ->type_name("FILE...");
  declare_token_format(app, words.format);
  add_count(app, "--vocab-size", options.vocab_size, {.least = 1, .most = kMaxVocabSize},
            "Rows of the table");
  add_count(app, "--num-experts", options.num_experts, {.least = 1, .most = kMaxModelSize},
            "Routed experts of a layer");
  add_count(app, "--top-k", options.top_k, {.least = 1}, "Experts of a token");
  add_count(app, "--num-layers", options.num_layers, {.least = 1, .most = kMaxLayers},
            "A table for each of these layers, layers.N.ffn.gate.tid2eid; default: one, tid2eid");
  app.add_option("--method", options.method,
                 "random; balanced (even loads); clustered (ids with similar embeddings share "
                 "experts); dispersed (they do not)")
      ->check(CLI::IsMember({"random", "balanced", "dispersed", "clustered"}));
  app.add_option("--target", words.target,
                 "Loads that balanced evens; default: both with --ranks, else expert")
      ->check(CLI::IsMember({"expert", "rank", "both"}));
  add_count(app, "--ranks", options.ranks, {.least = 1, .most = kMaxRanks},
            "Ranks, whose loads are told and evened");
  app.add_option("--placement", options.placement,
                 "Experts on these ranks: contiguous, or a file of `hashep placement` (*.json)");
  app.add_option("--spread", options.spread,
                 "Give ids that would load an expert with more than LIMIT times the mean several "
                 "rows, one of which is picked by position (docs/routing-tables.md). This changes "
                 "the model: train with it, or leave it")
      ->type_name("LIMIT")
      ->default_str("");
  app.add_option("--embeddings", options.embeddings,
                 "Embeddings [vocab_size, d] of the ids (.safetensors, .npy) for clustered and "
                 "dispersed")
      ->type_name("FILE");
  add_count(app, "--threads", options.threads, {.least = 0, .most = kMaxThreads},
            "Threads of clustering; 0: OMP_NUM_THREADS, else the cores it was granted");
  add_count(app, "--seed", options.seed, {.least = 0}, "Layer N is made from seed + N");
  app.add_option("--dtype", words.dtype, "Of the table's entries")
      ->check(CLI::IsMember({"i32", "i64"}));
  app.add_option("--output", options.output, "The table file (.safetensors)")->type_name("FILE");
  add_word(app, "--progress", options.progress, progress_words(), "auto, bar, lines or off");
  for (const char* name : {"--vocab-size", "--num-experts", "--method", "--output"}) {
    app.get_option(name)->required();
  }
}

void require_together(const TableBuildOptions& options, const Words& words, bool spread_given) {
  const bool by_embeddings = options.method == "clustered" || options.method == "dispersed";
  if (by_embeddings && options.embeddings.empty()) {
    throw InputError("--method " + options.method + " needs --embeddings FILE");
  }
  if (!by_embeddings && !options.embeddings.empty()) {
    throw InputError("--embeddings goes with --method clustered or dispersed, not with --method " +
                     options.method);
  }
  if (options.method == "balanced" && options.tokens.empty()) {
    throw InputError("--method balanced needs --tokens FILE...");
  }
  if (spread_given && (by_embeddings || options.tokens.empty())) {
    throw InputError("--spread goes with --tokens FILE... and --method random or balanced");
  }
  if (!words.target.empty() && options.method != "balanced") {
    throw InputError("--target goes with --method balanced, not with --method " + options.method);
  }
  if ((words.target == "rank" || words.target == "both") && options.ranks == 0) {
    throw InputError("--target " + words.target + " needs --ranks N");
  }
  if (options.placement != "contiguous" && options.ranks == 0) {
    throw InputError("--placement needs --ranks N");
  }
}

void validate(const TableBuildOptions& options, const Words& words, bool spread_given) {
  require_between("--top-k", options.top_k, 1, options.num_experts);
  if (!options.output.ends_with(".safetensors")) {
    throw InputError("--output " + options.output + ": a table is a .safetensors file");
  }
  if (spread_given && !(std::isfinite(options.spread) && options.spread >= kLeastSpreadLimit)) {
    throw InputError("--spread: must be a number from 0.05 on");
  }
  require_together(options, words, spread_given);
}

}  // namespace

std::string target_name(BalanceTarget target) {
  if (target == BalanceTarget::rank) return "rank";
  return target == BalanceTarget::both ? "both" : "expert";
}

std::optional<TableBuildOptions> parse_table_build(int argc, char** argv) {
  TableBuildOptions options;
  Words words;
  CLI::App app(
      "Makes routing tables (tid2eid: row v holds the experts of token id v) from a corpus of "
      "tokens. Numbers take K, M, G (powers of 1024).",
      "hashep table build");
  declare(app, options, words);
  if (!parse_options(app, argc, argv, 3)) return std::nullopt;
  for (const std::string& path : words.tokens) {
    options.tokens.push_back(words.format);
    options.tokens.back().path = path;
  }
  validate(options, words, app.count("--spread") > 0);
  options.has_layers = app.count("--num-layers") > 0;
  options.dtype = words.dtype == "i64" ? DType::i64 : DType::i32;
  if (words.target.empty()) {
    options.target = options.ranks > 0 ? BalanceTarget::both : BalanceTarget::expert;
  } else {
    options.target = words.target == "rank"   ? BalanceTarget::rank
                     : words.target == "both" ? BalanceTarget::both
                                              : BalanceTarget::expert;
  }
  return options;
}

}  // namespace hashep
