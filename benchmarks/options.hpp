// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "benchmarks/experts_bench.hpp"
#include "benchmarks/model/model_commands.hpp"
#include "benchmarks/plan_bench.hpp"
#include "benchmarks/rank_options.hpp"
#include "benchmarks/scale_plan.hpp"

namespace hashep::bench {

/// The command line of hashep-bench: the subcommand and its options.
struct Options {
  std::string command;    // experts, plan, exchange, layer, scale, fit or check-model
  std::string json_path;  // of those that run in one process
  ExpertsOptions experts;
  PlanOptions plan;
  ExchangeOptions exchange;
  LayerOptions layer;
  ScaleOptions scale;
  bool predicts = false;   // scale: without ranks, from a machine profile
  PredictOptions predict;  // of scale, where it predicts
  FitOptions fit;
  CheckOptions check;

  /// Of a subcommand on ranks, in seconds.
  double deadline() const;
};

/// Whether a command line (without the program's name) runs on ranks, and so begins by initialising
/// MPI. So does what is no subcommand: of all ranks one complains.
bool runs_on_ranks(const std::vector<std::string>& args);

/// Parses and checks the command line. Returns nothing where --help or --version was asked for,
/// which is answered where this process `speaks`. Throws InputError.
std::optional<Options> parse_options(int argc, const char* const* argv, bool speaks);

}  // namespace hashep::bench
