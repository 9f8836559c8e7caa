// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "runtime/layer/make_router.hpp"
#include "runtime/model/model_config.hpp"
#include "runtime/tokens/token_stream.hpp"

namespace hashep {

/// Which model's layers are routed, how, and for which tokens: the part of `hashep run`'s command
/// line that `hashep plan` and `hashep placement` take too, with the same meaning.
struct StaticRoutingOptions {
  std::string model;
  ModelConfig synthetic = {.num_layers = 2,
                           .hidden_size = 512,
                           .ffn_size = 1024,
                           .num_experts = 16,
                           .vocab_size = 32768,
                           .router = RouterKind::token};
  int64_t top_k = 1;
  std::string router;  // empty: the model's own, or token
  std::string table;
  int64_t seed = 0;
  TokenFile tokens;  // an empty path: seeded Zipf
  double zipf = 1.0;
  int64_t seq_len = 0;  // 0: the rows of a 2-D token file, else 1024
};

void declare_static_routing(CLI::App& app, StaticRoutingOptions& options);

/// Router and tokens, ready to be used. Of a model folder config.json and routing tables alone are
/// read.
struct StaticRouting {
  ModelConfig config;
  std::string router_name;
  std::unique_ptr<TokenStream> stream;
  int64_t seq_len = 1;
  std::unique_ptr<Router> router;
  std::vector<RoutedLayer> layers;
};

/// `app` has parsed the command line. Throws InputError.
StaticRouting open_static_routing(const CLI::App& app, const StaticRoutingOptions& options);

}  // namespace hashep
