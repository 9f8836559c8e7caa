// SPDX-License-Identifier: Apache-2.0
#include "launch/static_routing.hpp"

#include <array>
#include <cmath>
#include <optional>

#include "core/narrow.hpp"
#include "hashep/error.hpp"
#include "launch/process/option_types.hpp"
#include "launch/process/result_json.hpp"
#include "launch/token_options.hpp"
#include "runtime/model/model_folder.hpp"
#include "runtime/model/model_tables.hpp"
#include "runtime/tokens/routed_loads.hpp"

namespace hashep {
namespace {

constexpr int64_t kDefaultSeqLen = 1024;  // tokens, as in `hashep run`
constexpr std::array kModelOptions = {"--num-layers", "--hidden-size", "--num-experts", "--top-k",
                                      "--vocab-size"};

/// The sizes of a model without a folder.
ModelConfig synthetic_config(const StaticRoutingOptions& options) {
  ModelConfig config = options.synthetic;
  if (options.top_k > config.num_experts) {
    throw InputError("--top-k " + std::to_string(options.top_k) + ": must be in [1, " +
                     std::to_string(config.num_experts) + "] (--num-experts)");
  }
  config.top_k = narrow<int>(options.top_k, "--top-k");
  config.router_seed = static_cast<uint64_t>(options.seed);
  return config;
}

}  // namespace

void declare_static_routing(CLI::App& app, StaticRoutingOptions& options) {
  app.option_defaults()->always_capture_default();
  const CountLimits sizes{.least = 1, .most = kMaxModelSize};
  ModelConfig& model = options.synthetic;
  app.add_option("--model", options.model,
                 "Folder with config.json and, for table routing, tid2eid tensors in "
                 "*.safetensors; no weights are needed")
      ->type_name("DIR")
      ->group("Model");
  add_count(app, "--num-layers", model.num_layers, sizes, "Layers");
  add_count(app, "--hidden-size", model.hidden_size, sizes, "Elements of a token's hidden state");
  add_count(app, "--num-experts", model.num_experts, sizes, "Routed experts of a layer");
  add_count(app, "--top-k", options.top_k, sizes, "Experts of a token");
  add_count(app, "--vocab-size", model.vocab_size, {.least = 1, .most = kMaxVocabSize},
            "Token ids are in [0, this)");
  for (const char* name : kModelOptions) app.get_option(name)->group("Model, without --model");

  app.add_option("--router", options.router,
                 "token, position, previous, bigram (hashes), table, or balanced (a greedy table "
                 "from the tokens); default: the model's, or token")
      ->group("Routing");
  app.add_option("--table", options.table, "tid2eid table (.safetensors, .npy) for --router table")
      ->type_name("FILE")
      ->group("Routing");
  add_count(app, "--seed", options.seed, {.least = 0}, "Seed of router and tokens")
      ->group("Routing");

  app.add_option("--tokens", options.tokens.path,
                 "Token ids (.npy, .bin) or text (with --tokenizer); default: seeded Zipf")
      ->type_name("FILE")
      ->group("Tokens");
  declare_token_format(app, options.tokens, "Tokens");
  app.add_option("--zipf", options.zipf, "Exponent of the seeded tokens; 0: uniform")
      ->group("Tokens");
  add_count(app, "--seq-len", options.seq_len, {.least = 0},
            "Tokens of a sequence; 0: rows of a 2-D token file, else 1024")
      ->group("Tokens");
}

StaticRouting open_static_routing(const CLI::App& app, const StaticRoutingOptions& options) {
  const auto is_given = [&app](const char* name) { return app.count(name) > 0; };
  if (!options.table.empty() && is_given("--router") && options.router != "table") {
    throw InputError("--table goes with --router table, not with --router " + options.router);
  }
  if (!std::isfinite(options.zipf) || options.zipf < 0.0) {
    throw InputError("--zipf: must be a number that is not negative");
  }
  for (const char* name : kModelOptions) {
    if (!options.model.empty() && is_given(name)) {
      throw InputError(std::string(name) + " does not go with --model, which sets it");
    }
  }
  StaticRouting routing;
  routing.config =
      options.model.empty() ? synthetic_config(options) : read_model_config(options.model);
  RoutingSource source;
  source.kind = options.router.empty() ? routing.config.router : parse_router(options.router);
  if (!options.table.empty()) source.kind = RouterKind::table;
  source.table_path = options.table;
  source.seed =
      is_given("--seed") ? static_cast<uint64_t>(options.seed) : routing.config.router_seed;
  std::optional<ModelFolder> folder;
  if (!options.model.empty() && source.kind == RouterKind::table && options.table.empty()) {
    folder.emplace(options.model, ModelParts::tables);
    source.folder = &*folder;
  }
  routing.router_name = router_name(source.kind);
  routing.stream = options.tokens.path.empty()
                       ? make_zipf_stream(routing.config.vocab_size, options.zipf,
                                          static_cast<uint64_t>(options.seed))
                       : open_token_file(options.tokens, routing.config.vocab_size);
  routing.seq_len = options.seq_len > 0
                        ? options.seq_len
                        : routing.stream->natural_seq_len().value_or(kDefaultSeqLen);
  routing.router = make_router(routing.config, source, *routing.stream);
  routing.layers =
      routed_layers(routing.config.num_layers, routing.config.num_experts, routing.config.top_k);
  return routing;
}

}  // namespace hashep
