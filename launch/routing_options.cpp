// SPDX-License-Identifier: Apache-2.0
#include "launch/routing_options.hpp"

#include <cmath>

#include "hashep/error.hpp"
#include "launch/process/source_words.hpp"
#include "launch/token_options.hpp"

namespace hashep {
namespace {

constexpr int64_t kMaxPlanDepth = 64;
constexpr int64_t kDefaultSeqLen = 1024;  // tokens

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
  table.parsed(
      "--router", [&options](const std::string& text) { options.router = parse_router(text); },
      [&options] { return options.router ? std::string(router_name(*options.router)) : ""; },
      "token, position, previous, bigram (hashes), table, or balanced (a greedy table "
      "from the tokens); default: the model's, or token");
  table.text(
      "--table", options.table, "FILE",
      "tid2eid table (.safetensors, .npy) for --router table: one for all layers, or tensors "
      "layers.N.ffn.gate.tid2eid");
  table.count("--seed", options.seed, {.least = 0},
              "Seed of router, synthetic weights, tokens and states");
  table.compare_if_given();
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
              "Batches planned ahead while one computes; 0: plan each when it is needed");
}

void require_routing(const CLI::App& app, const RoutingOptions& options) {
  if (!std::isfinite(options.zipf) || options.zipf < 0.0) {
    throw InputError("--zipf: must be a number that is not negative");
  }
  if (!options.table.empty() && options.router && options.router != RouterKind::table) {
    throw InputError("--table goes with --router table, not with --router " +
                     std::string(router_name(*options.router)));
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
