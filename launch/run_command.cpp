// SPDX-License-Identifier: Apache-2.0
#include "launch/run_command.hpp"

#include <cstdio>
#include <optional>
#include <utility>

#include "launch/process/rank_program.hpp"
#include "launch/run_job.hpp"
#include "launch/stop_signal.hpp"

namespace hashep {
namespace {

constexpr const char* kProgram = "hashep";

}  // namespace

int run_command(int argc, char** argv) {
  std::optional<RunOptions> options;
  RankProgram program;
  program.name = kProgram;
  program.stop_signal = catch_stop_signals();
  program.parse = [&](bool speaks) -> std::optional<double> {
    RunCommandLine line = parse_run_command_line(argc, argv);
    options = std::move(line.options);
    if (options) return options->deadline;
    if (speaks) std::fputs(line.answer.c_str(), stdout);
    return std::nullopt;
  };
  program.work = [&](const Communicator& ranks, Watch& watch) {
    run_job(*options, std::vector<std::string>(argv + 1, argv + argc), ranks, watch);
  };
  return run_on_ranks(&argc, &argv, program);
}

int unknown_command(int argc, char** argv) {
  RankProgram program;
  program.name = kProgram;
  program.parse = [command = std::string(argv[1])](bool) -> std::optional<double> {
    throw InputError("unknown command '" + command + "'; hashep --help lists them");
  };
  return run_on_ranks(&argc, &argv, program);
}

}  // namespace hashep
