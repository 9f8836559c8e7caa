// SPDX-License-Identifier: Apache-2.0
#include "benchmarks/options.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <string_view>

#include "benchmarks/declare_model_options.hpp"
#include "benchmarks/declare_rank_options.hpp"
#include "benchmarks/option_types.hpp"
#include "hashep/error.hpp"
#include "hashep/version.hpp"
#include "launch/process/backend_words.hpp"
#include "launch/process/result_json.hpp"

namespace hashep::bench {
namespace {

constexpr Sampling kExchangeSampling = {.warmup = 5, .samples = 20};
constexpr Sampling kLayerSampling = {.warmup = 2, .samples = 10};

void declare_experts(CLI::App& command, ExpertsOptions& options) {
  add_counts(command, "--rows", options.rows_per_expert, "Rows per expert [16,64,128,256,512]");
  add_counts(command, "--ffn-size", options.ffn_sizes, "Widths of the experts [4096,1024]");
  add_count(command, "--hidden-size", options.hidden_size, "Width of a token [1024]");
  add_count(command, "--num-experts", options.num_experts, "Experts, taken in turn [8]");
  command.add_option("--threads", options.threads, "Threads")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  add_word(command, "--gemm-library", options.gemm_library, gemm_library_words(),
           "Of the experts: onednn, xsmm (LIBXSMM), or auto: the faster one here");
  add_dtypes(command, options.dtypes, "fp32, bf16 [fp32,bf16]");
  command.add_flag("--packed", options.packed,
                   "Weights that stay FP8 and FP4 beside those in bf16: SwiGLU, bf16");
  const std::map<std::string, Activation> activations{
      {"relu", Activation::relu}, {"gelu", Activation::gelu}, {"silu", Activation::silu}};
  command.add_option("--activation", options.activations, "relu, gelu, silu [relu,silu]")
      ->transform(CLI::CheckedTransformer(activations))
      ->delimiter(',');
}

void declare_plan(CLI::App& command, PlanOptions& options) {
  add_counts(command, "--num-experts", options.num_experts, "Experts [256]");
  command
      .add_option("--router", options.routers,
                  "table (random), token, position, previous, bigram [all], or balanced")
      ->delimiter(',');
  add_counts(command, "--top-k", options.top_k, "Experts of a token [1,6]");
  add_counts(command, "--ep-size", options.ep_sizes, "Ranks of the plan [8]");
  add_count(command, "--tokens-per-rank", options.tokens, "Tokens to plan [1M]");
  add_count(command, "--vocab-size", options.vocab_size, "Token ids are in [0, this) [129280]");
  CLI::Option* exchange = command.add_flag(
      "--exchange", options.exchange,
      "Measure the planning exchange over the ranks at hand instead; start it with mpirun");
  exchange->disable_flag_override();  // no --exchange=false: see runs_on_ranks
  for (const char* alone : {"--router", "--top-k", "--ep-size", "--tokens-per-rank"}) {
    exchange->excludes(command.get_option(alone));
  }
  add_counts(command, "--num-layers", options.num_layers, "--exchange: layers of a batch [1]")
      ->needs(exchange);
  command
      .add_option("--deadline", options.deadline,
                  "--exchange: seconds that a wait for other ranks may take")
      ->needs(exchange)
      ->capture_default_str();
}

/// Whether an option is among the words, a value behind it or after '='.
bool has_option(const std::vector<std::string>& args, const std::string& name) {
  return std::any_of(args.begin(), args.end(), [&name](const std::string& word) {
    return word == name || word.starts_with(name + "=");
  });
}

/// What depends on more than one option, or on the defaults of others.
void complete(Options& options) {
  ExchangeOptions& exchange = options.exchange;
  if (exchange.max_tokens == 0) exchange.max_tokens = exchange.min_tokens;
  if (options.command == "plan") validate(options.plan);
  if (options.command == "exchange") validate(exchange);
  if (options.command == "layer") {
    complete(options.layer);
    validate(options.layer);
  }
  if (options.command == "scale" && !options.predicts) {
    complete(options.scale.layer);
    if (options.scale.layer.gate) throw InputError("scale takes no --router learned");
    validate(options.scale);
  }
  if (options.command == "scale" && options.predicts) validate(options.predict);
}

}  // namespace

double Options::deadline() const {
  if (command == "plan") return plan.deadline;
  if (command == "scale") return scale.layer.common.deadline;
  return (command == "layer" ? layer.common : exchange.common).deadline;
}

bool runs_on_ranks(const std::vector<std::string>& args) {
  constexpr std::array<std::string_view, 3> kHere = {"experts", "fit", "check-model"};
  if (args.empty() || args.front().starts_with('-')) return false;
  if (args.front() == "scale") return !has_option(args, "--predict");
  if (args.front() == "plan") return has_option(args, "--exchange");
  return std::find(kHere.begin(), kHere.end(), args.front()) == kHere.end();
}

std::optional<Options> parse_options(int argc, const char* const* argv, bool speaks) {
  CLI::App app{"Measures the parts of HashEP: checks first, then times, then writes JSON."};
  app.set_version_flag("--version",
                       "hashep-bench " + std::string(version()) + " " + std::string(commit()));
  app.require_subcommand(1);

  Options options;
  options.exchange.common.sampling = kExchangeSampling;
  options.layer.common.sampling = kLayerSampling;
  options.scale.layer.common.sampling = kLayerSampling;
  CLI::App& experts = *app.add_subcommand(
      "experts", "Experts (GEMM -> activation -> GEMM) beside oneDNN's GEMMs alone");
  CLI::App& plan = *app.add_subcommand(
      "plan",
      "Static routing and exchange plans, ns per token, one core; or the planning exchange");
  CLI::App& exchange = *app.add_subcommand(
      "exchange", "Dispatch and combine beside MPI_Alltoallv and a copy; start it with mpirun");
  CLI::App& layer = *app.add_subcommand(
      "layer", "An MoE layer and its phases beside its GEMMs alone; start it with mpirun");
  CLI::App& scale = *app.add_subcommand(
      "scale",
      "Strong and weak scaling of a layer over more and more ranks, start it with mpirun; or "
      "--predict: of jobs of any size, without");
  CLI::App& fit = *app.add_subcommand("fit", "Fits a machine profile to results");
  CLI::App& check =
      *app.add_subcommand("check-model", "Predicted times beside measured or published ones");
  declare_fit(fit, options.fit);
  declare_check(check, options.check);
  declare_experts(experts, options.experts);
  declare_plan(plan, options.plan);
  add_sampling(experts, options.experts.sampling);
  add_sampling(plan, options.plan.sampling);
  for (CLI::App* command : {&experts, &plan, &fit, &check}) add_json(*command, options.json_path);
  declare_exchange(exchange, options.exchange);
  declare_layer(layer, options.layer);
  // `scale` has other options where it predicts.
  options.predicts = has_option(std::vector<std::string>(argv + 1, argv + argc), "--predict");
  if (options.predicts) {
    declare_predict(scale, options.predict);
    add_json(scale, options.json_path);
  } else {
    declare_scale(scale, options.scale);
  }

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() != 0) throw InputError(error.what());
    if (speaks) app.exit(error);  // --help, --version
    return std::nullopt;
  }
  options.command = app.get_subcommands().front()->get_name();
  complete(options);
  return options;
}

}  // namespace hashep::bench
