// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "launch/routing_options.hpp"

namespace hashep {

/// The options of a command that routes and computes nothing: `app` shows their defaults.
void declare_static_routing(CLI::App& app, RoutingOptions& options);

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
StaticRouting open_static_routing(const CLI::App& app, const RoutingOptions& options);

}  // namespace hashep
