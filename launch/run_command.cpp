// SPDX-License-Identifier: Apache-2.0
#include "launch/run_command.hpp"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <optional>

#include "comm/rank_program.hpp"
#include "core/exit_code.hpp"
#include "launch/declare_run_options.hpp"
#include "launch/run_job.hpp"
#include "launch/stop_signal.hpp"

namespace hashep {
namespace {

constexpr const char* kProgram = "hashep";

/// Parses and checks the command line. Returns nothing where --help or --version was asked for and
/// has been answered (by `speaks`). Throws InputError.
std::optional<RunOptions> parse_command_line(int argc, char** argv, bool speaks) {
  RunOptions options;
  CLI::App app(
      "Runs expert-parallel hash-routed MoE layers over batches of tokens. Start it alone "
      "or with mpirun: mpirun -np 4 hashep run --tokens FILE.bin --vocab-size 32000. Numbers "
      "take K, M, G (powers of 1024).",
      "hashep run");
  declare_run_options(app, options);
  try {
    app.parse(argc - 1, argv + 1);
  } catch (const CLI::CallForHelp&) {
    if (speaks) std::fputs(app.help().c_str(), stdout);
    return std::nullopt;
  } catch (const CLI::CallForVersion& version) {
    if (speaks) std::printf("%s\n", version.what());
    return std::nullopt;
  } catch (const CLI::ConfigError& error) {
    throw InputError("--config " + app.get_config_ptr()->as<std::string>() + ": " + error.what());
  } catch (const CLI::ParseError& error) {
    throw InputError(error.what());
  }
  for (const CLI::Option* option : app.get_options()) {
    if (option->count() > 0) options.given.push_back(option->get_name());
  }
  validate_run_options(options);
  return options;
}

}  // namespace

int run_command(int argc, char** argv) {
  std::optional<RunOptions> options;
  RankProgram program;
  program.name = kProgram;
  program.stop_signal = catch_stop_signals();
  program.parse = [&](bool speaks) -> std::optional<double> {
    options = parse_command_line(argc, argv, speaks);
    if (!options) return std::nullopt;
    return options->deadline;
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
