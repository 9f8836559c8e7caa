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

namespace hashep {

/// What the command line of `hashep train` asks for.
struct TrainOptions : RoutingOptions {
  // The model, beside its layers.
  int64_t context = 4;  // tokens whose embeddings a prediction begins with

  // Steps.
  int64_t batch_tokens = 2048;
  int64_t steps = 200;
  double learning_rate = 2e-3;
  int64_t warmup = 20;       // steps
  double final_share = 0.1;  // of learning_rate, at the last step
  double weight_decay = 0.01;
  double clip_norm = 1.0;
  int64_t gradient_block = 256;
  bool recompute = false;
  double balance_loss = 0.0;
  double z_loss = 0.0;
  double bias_step = 0.0;

  // How well it predicts.
  int64_t held_out = 8192;  // tokens at the end of the file
  int64_t evaluate_every = 50;

  // Checkpoints.
  std::string save;
  int64_t save_every = 100;
  int64_t keep_last = 3;
  bool resume = false;

  // How to compute.
  PlacementSource placement;
  DType dtype = DType::f32;
  TransportKind transport = TransportKind::automatic;
  int64_t threads = 0;
  GemmLibrary gemm_library = GemmLibrary::automatic;
  double deadline = 120.0;  // seconds

  // What comes out.
  std::string json;
  std::string csv;
  std::optional<Progress::Style> progress;

  // Filled by the parser.
  std::vector<Setting> settings;  // all that must be equal on all ranks; the version comes first
  std::vector<Setting> of_run;    // of these, what the trained parameters follow from
};

/// A command line of `hashep train`, read.
struct TrainCommandLine {
  std::optional<TrainOptions> options;  // nothing where --help or --version was asked for
  std::string answer;                   // then: what to print
};

/// Reads and checks a command line, argv[1] being "train". Prints nothing. Local. Throws
/// InputError.
TrainCommandLine parse_train_command_line(int argc, const char* const* argv);

}  // namespace hashep
