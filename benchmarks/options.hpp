// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "benchmarks/experts_bench.hpp"
#include "benchmarks/plan_bench.hpp"
#include "benchmarks/rank_options.hpp"
#include "benchmarks/scale_plan.hpp"

namespace hashep::bench {

/// The command line of hashep-bench: the subcommand and its options.
struct Options {
  std::string command;    // experts, plan, exchange, layer or scale
  std::string json_path;  // of experts and plan
  ExpertsOptions experts;
  PlanOptions plan;
  ExchangeOptions exchange;
  LayerOptions layer;
  ScaleOptions scale;

  /// Of a subcommand on ranks, in seconds.
  double deadline() const;
};

/// Whether a command line runs on ranks, and so begins by initialising MPI. So does what is no
/// subcommand: of all ranks one complains.
bool runs_on_ranks(const std::vector<std::string>& args);

/// Parses and checks the command line. Returns nothing where --help or --version was asked for,
/// which is answered where this process `speaks`. Throws InputError.
std::optional<Options> parse_options(int argc, const char* const* argv, bool speaks);

}  // namespace hashep::bench
