// SPDX-License-Identifier: Apache-2.0
#include "launch/train/train_command.hpp"

#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "launch/process/rank_program.hpp"
#include "launch/stop_signal.hpp"
#include "launch/train/train_job.hpp"
#include "launch/train/train_options.hpp"

namespace hashep {

int train_command(int argc, char** argv) {
  std::optional<TrainOptions> options;
  RankProgram program;
  program.name = "hashep";
  program.stop_signal = catch_stop_signals();
  program.parse = [&](bool speaks) -> std::optional<double> {
    TrainCommandLine line = parse_train_command_line(argc, argv);
    options = std::move(line.options);
    if (options) return options->deadline;
    if (speaks) std::fputs(line.answer.c_str(), stdout);
    return std::nullopt;
  };
  program.work = [&](const Communicator& ranks, Watch& watch) {
    train_job(*options, std::vector<std::string>(argv + 1, argv + argc), ranks, watch,
              program.stop_signal);
  };
  return run_on_ranks(&argc, &argv, program);
}

}  // namespace hashep
