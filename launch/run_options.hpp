// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "comm/agreement.hpp"
#include "hashep/backend.hpp"
#include "launch/progress.hpp"
#include "launch/routing_options.hpp"
#include "runtime/layer/planning_options.hpp"

namespace hashep {

/// What the command line of `hashep run` asks for. The options are described in
/// describe_run_options.cpp.
struct RunOptions : RoutingOptions {
  bool accept_unused = false;
  PlacementSource placement;
  Planning planning = Planning::exchange;
  int64_t plan_depth = 1;

  // Batches.
  int64_t batch_tokens = 4096;
  int64_t steps = 10;
  std::string hidden;

  // How to compute.
  DType dtype = DType::f32;
  Device device = Device::automatic;
  bool share_gpu = false;
  bool bind_cpu = true;
  std::optional<Landing> landing;  // empty: by rule
  GraphMode graph = GraphMode::automatic;
  GemmGrouping expert_gemm = GemmGrouping::per_expert;
  TransportKind transport = TransportKind::automatic;
  bool node_reduce = false;
  bool overlap = true;
  bool residual = true;
  int64_t threads = 0;  // 0: choose_threads
  GemmLibrary gemm_library = GemmLibrary::automatic;
  WeightForm weight_form = WeightForm::automatic;
  int64_t weight_memory = 0;       // bytes for routed experts; 0: all are held
  bool weights_ahead = true;       // read when plans say, not when they are used
  double deadline = 120.0;         // seconds
  double setup_deadline = 3600.0;  // seconds

  // What comes out.
  bool check = false;
  int64_t check_tokens = 0;  // 0: as many as take the oracle a few seconds
  std::string output;
  std::string json;
  std::string trace;
  std::optional<Progress::Style> progress;  // empty: as who looks at it needs

  // Filled by the parser.
  std::vector<std::string> given;  // names of the options that the user gave
  std::vector<Setting> settings;   // all that must be equal on all ranks; the version comes first

  bool is_given(const std::string& option) const;
};

/// A command line of `hashep run`, read.
struct RunCommandLine {
  std::optional<RunOptions> options;  // nothing where --help or --version was asked for
  std::string answer;                 // then: what to print
};

/// Reads and checks a command line, argv[1] being "run": what options tell alone and together,
/// before any file is opened but that of --config. Prints nothing. Local. Throws InputError.
RunCommandLine parse_run_command_line(int argc, const char* const* argv);

}  // namespace hashep
