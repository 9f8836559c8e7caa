// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "launch/process/option_table.hpp"
#include "runtime/layer/make_router.hpp"
#include "runtime/layer/stack_placements.hpp"
#include "runtime/model/model_config.hpp"
#include "runtime/tokens/token_stream.hpp"

namespace hashep {

/// What static routing is compared with, by commands that compute.
enum class Baseline {
  learned,  // a gate chooses experts in each layer
  dense,    // one expert as wide as a token's, on every rank
};

/// Which model's layers are routed, how, and for which tokens: what `hashep run`, `hashep plan` and
/// `hashep placement` take alike.
struct RoutingOptions {
  // A folder, or sizes of a synthetic model.
  std::string model;
  ModelConfig synthetic = {.num_layers = 2,
                           .hidden_size = 512,
                           .ffn_size = 1024,
                           .num_experts = 16,
                           .vocab_size = 32768,
                           .router = RouterKind::token};
  int64_t top_k = 1;

  std::optional<RouterKind> router;         // empty: the model's own, or token
  std::optional<Baseline> baseline;         // in its place
  GateKind gate = GateKind::softmax_top_k;  // of Baseline::learned
  ModelLayers layers = ModelLayers::hash;   // of the folder
  std::string table;
  int64_t seed = 0;

  TokenFile tokens;  // an empty path: seeded Zipf
  double zipf = 1.0;
  int64_t seq_len = 0;  // 0: the rows of a 2-D token file, else 1024
};

/// The group of the options that a model folder sets.
inline constexpr const char* kSyntheticModel = "Synthetic model (without --model)";

/// --model; then, in the group of a synthetic model, the sizes that routing needs.
void describe_model(OptionTable& table, RoutingOptions& options);
void describe_sizes(OptionTable& table, RoutingOptions& options);
/// In the same group: what else an expert is.
void describe_experts(OptionTable& table, RoutingOptions& options);
/// --router, --table and --seed.
void describe_router(OptionTable& table, RoutingOptions& options);
/// The same of a command that computes, where --router may name a baseline; and --gate.
void describe_routers_and_baselines(OptionTable& table, RoutingOptions& options);
/// The synthetic model that the options ask for. Throws InputError.
ModelConfig synthetic_model(const RoutingOptions& options);
/// --tokens and how they are read, or what stands for them.
void describe_tokens(OptionTable& table, RoutingOptions& options);

void describe_placement(OptionTable& table, PlacementSource& placement);
/// Where experts are streamed and no depth is given: reads that begin several batches ahead hide
/// more.
inline constexpr int64_t kPlanDepthOfStreams = 4;
void describe_plan_depth(OptionTable& table, int64_t& depth);

/// What these options tell together, once `app` has parsed them. Throws InputError.
void require_routing(const CLI::App& app, const RoutingOptions& options);

/// The options' tokens, or seeded ones. Throws InputError.
std::unique_ptr<TokenStream> open_tokens(const RoutingOptions& options, int64_t vocab_size);
/// Tokens of a sequence in this stream.
int64_t sequence_length(const RoutingOptions& options, const TokenStream& stream);

/// Placements of all layers of a model that computes. Throws InputError as make_placements, and
/// where they are to be balanced and a gate routes some.
std::vector<Placement> place_experts(const PlacementSource& placement, const ModelConfig& config,
                                     const Router& router, const TokenStream& stream,
                                     int64_t seq_len, const NodeMap& nodes);

/// Where experts come from, but for the model's folder.
RoutingSource routing_source(const RoutingOptions& options, const ModelConfig& config,
                             bool is_seed_given);

}  // namespace hashep
