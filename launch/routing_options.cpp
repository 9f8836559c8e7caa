// SPDX-License-Identifier: Apache-2.0
#include "launch/routing_options.hpp"

#include <cmath>

#include "core/narrow.hpp"
#include "hashep/error.hpp"
#include "launch/process/source_words.hpp"
#include "launch/token_options.hpp"
#include "runtime/tokens/routed_loads.hpp"

namespace hashep {
namespace {

constexpr int64_t kMaxPlanDepth = 64;
constexpr int64_t kDefaultSeqLen = 1024;  // tokens

void describe_router_words(OptionTable& table, RoutingOptions& options,
                           const std::string& baselines) {
  const bool has_baselines = !baselines.empty();
  table.parsed(
      "--router",
      [&options, has_baselines](const std::string& text) {
        options.router.reset();
        options.baseline.reset();
        if (has_baselines && text == "learned") {
          options.baseline = Baseline::learned;
        } else if (has_baselines && text == "dense") {
          options.baseline = Baseline::dense;
        } else {
          options.router = parse_router(text);
        }
      },
      [&options] {
        if (options.baseline) {
          return std::string(*options.baseline == Baseline::learned ? "learned" : "dense");
        }
        return options.router ? std::string(router_name(*options.router)) : "";
      },
      "token, position, previous, bigram (hashes), table, or balanced (a greedy table "
      "from the tokens)" +
          baselines + "; default: the model's, or token");
  table.text(
      "--table", options.table, "FILE",
      "tid2eid table (.safetensors, .npy) for --router table: one for all layers, or tensors "
      "layers.N.ffn.gate.tid2eid");
  table.count("--seed", options.seed, {.least = 0},
              "Seed of router, synthetic weights, tokens and states");
  table.compare_if_given();
}

}  // namespace

void describe_model(OptionTable& table, RoutingOptions& options) {
  table.text("--model", options.model, "DIR", "Folder with config.json and *.safetensors");
}

void describe_sizes(OptionTable& table, RoutingOptions& options) {
  const CountLimits sizes{.least = 1, .most = kMaxModelSize};
  ModelConfig& model = options.synthetic;
  table.count("--num-layers", model.num_layers, sizes, "Layers");
  table.count("--hidden-size", model.hidden_size, sizes, "Elements of a token's hidden state");
  table.count("--num-experts", model.num_experts, sizes, "Routed experts of a layer");
  table.count("--top-k", options.top_k, sizes, "Experts of a token");
  table.count("--vocab-size", model.vocab_size, {.least = 1, .most = kMaxVocabSize},
              "Token ids are in [0, this)");
}

void describe_experts(OptionTable& table, RoutingOptions& options) {
  ModelConfig& model = options.synthetic;
  table.count("--ffn-size", model.ffn_size, {.least = 1, .most = kMaxModelSize},
              "Elements of an expert's hidden activation");
  table.count("--num-shared-experts", model.num_shared_experts, {.least = 0, .most = kMaxModelSize},
              "Experts that every token passes, on every rank");
  table.parsed(
      "--activation",
      [&model](const std::string& text) { model.activation = parse_activation(text); },
      [&model] { return std::string(activation_name(model.activation)); },
      "relu, gelu or silu (SwiGLU)");
  table.number("--swiglu-limit", model.swiglu_limit, "Clamp of SwiGLU; 0: none");
  table.parsed(
      "--score", [&model](const std::string& text) { model.score = parse_score(text); },
      [&model] { return std::string(score_name(model.score)); },
      "Weight of a choice: none (1/k) or sqrtsoftplus");
  table.number("--routed-scaling-factor", model.routed_scaling_factor,
               "Factor of sqrtsoftplus weights");
}

void describe_router(OptionTable& table, RoutingOptions& options) {
  describe_router_words(table, options, "");
}

void describe_routers_and_baselines(OptionTable& table, RoutingOptions& options) {
  describe_router_words(table, options,
                        "; or, to compare with, learned (a gate, planned in each layer) or dense "
                        "(one expert as wide as those of a token, on every rank)");
  table.parsed(
      "--gate", [&options](const std::string& text) { options.gate = parse_gate_kind(text); },
      [&options] { return std::string(gate_kind_name(options.gate)); },
      "--router learned: softmax_top_k, or noaux_tc, whose --score is sigmoid or sqrtsoftplus");
}

ModelConfig synthetic_model(const RoutingOptions& options) {
  ModelConfig config = options.synthetic;
  config.top_k = narrow<int>(options.top_k, "--top-k");
  config.router = options.router.value_or(RouterKind::token);
  if (!options.table.empty()) config.router = RouterKind::table;
  config.router_seed = static_cast<uint64_t>(options.seed);
  if (options.baseline == Baseline::learned) {
    config.gate = Gate{.kind = options.gate};
    const bool needs_score = options.gate == GateKind::noaux_tc && config.score == Score::none;
    if (needs_score) config.score = Score::sigmoid;
  }
  if (options.baseline == Baseline::dense) {
    config.num_shared_experts += config.top_k;
    config.num_experts = 0;
    config.top_k = 0;
  }
  return config;
}

void describe_tokens(OptionTable& table, RoutingOptions& options) {
  table.text("--tokens", options.tokens.path, "FILE",
             "Token ids (.npy, .bin) or text (with --tokenizer); default: seeded Zipf");
  describe_token_format(table, options.tokens);
  table.number("--zipf", options.zipf, "Exponent of the seeded tokens; 0: uniform");
  table.count("--seq-len", options.seq_len, {.least = 0},
              "Tokens of a sequence; 0: rows of a 2-D token file, else 1024");
}

void describe_placement(OptionTable& table, PlacementSource& placement) {
  table.parsed(
      "--placement", [&placement](const std::string& text) { placement = parse_placement(text); },
      [&placement] { return placement_word(placement); },
      "Experts on ranks: contiguous, balanced, or a file of `hashep placement` (*.json)");
}

void describe_plan_depth(OptionTable& table, int64_t& depth) {
  table.count("--plan-depth", depth, {.least = 0, .most = kMaxPlanDepth},
              "Batches planned ahead while one computes; 0: plan each when it is needed; with "
              "--weight-memory 4 by default");
}

void require_routing(const CLI::App& app, const RoutingOptions& options) {
  if (!std::isfinite(options.zipf) || options.zipf < 0.0) {
    throw InputError("--zipf: must be a number that is not negative");
  }
  if (!options.table.empty() && options.router && options.router != RouterKind::table) {
    throw InputError("--table goes with --router table, not with --router " +
                     std::string(router_name(*options.router)));
  }
  if (options.baseline && !options.table.empty()) {
    throw InputError("--table goes with --router table");
  }
  if (options.baseline && !options.model.empty()) {
    throw InputError(
        "--router learned and dense go without --model, whose config.json says which layers have a "
        "gate (--layers all)");
  }
  if (options.gate != GateKind::softmax_top_k && options.baseline != Baseline::learned) {
    throw InputError("--gate goes with --router learned");
  }
  if (options.model.empty()) {
    if (options.top_k <= options.synthetic.num_experts) return;
    throw InputError("--top-k " + std::to_string(options.top_k) + ": must be in [1, " +
                     std::to_string(options.synthetic.num_experts) + "] (--num-experts)");
  }
  for (const CLI::Option* option : app.get_options()) {
    if (option->count() > 0 && option->get_group() == kSyntheticModel) {
      throw InputError(option->get_name() + " does not go with --model, which sets it");
    }
  }
}

std::unique_ptr<TokenStream> open_tokens(const RoutingOptions& options, int64_t vocab_size) {
  return options.tokens.path.empty()
             ? make_zipf_stream(vocab_size, options.zipf, static_cast<uint64_t>(options.seed))
             : open_token_file(options.tokens, vocab_size);
}

int64_t sequence_length(const RoutingOptions& options, const TokenStream& stream) {
  return options.seq_len > 0 ? options.seq_len : stream.natural_seq_len().value_or(kDefaultSeqLen);
}

std::vector<Placement> place_experts(const PlacementSource& placement, const ModelConfig& config,
                                     const Router& router, const TokenStream& stream,
                                     int64_t seq_len, const NodeMap& nodes) {
  if (placement.kind == PlacementKind::balanced &&
      config.shape().num_routed_layers() < config.num_layers) {
    throw InputError("--placement balanced needs layers that are all routed ahead");
  }
  return make_placements(placement, router,
                         routed_layers(config.num_layers, config.num_experts, config.top_k), stream,
                         seq_len, nodes);
}

RoutingSource routing_source(const RoutingOptions& options, const ModelConfig& config,
                             bool is_seed_given) {
  RoutingSource source;
  source.kind = options.router.value_or(config.router);
  if (!options.table.empty()) source.kind = RouterKind::table;
  source.table_path = options.table;
  source.seed = is_seed_given ? static_cast<uint64_t>(options.seed) : config.router_seed;
  return source;
}

}  // namespace hashep
