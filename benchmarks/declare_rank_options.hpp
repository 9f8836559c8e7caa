// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>

#include "benchmarks/rank_options.hpp"
#include "benchmarks/scale_plan.hpp"

namespace hashep::bench {

/// Options of the subcommands that run on ranks.
void declare_exchange(CLI::App& command, ExchangeOptions& options);
void declare_layer(CLI::App& command, LayerOptions& options);
void declare_scale(CLI::App& command, ScaleOptions& options);

}  // namespace hashep::bench
