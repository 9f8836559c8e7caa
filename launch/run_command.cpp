// SPDX-License-Identifier: Apache-2.0
#include "launch/run_command.hpp"

#include <CLI/CLI.hpp>
#include <chrono>
#include <cstdio>
#include <new>
#include <optional>
#include <thread>

#include "comm/agreement.hpp"
#include "core/result_json.hpp"
#include "launch/exit_code.hpp"
#include "launch/run_job.hpp"
#include "launch/run_options.hpp"
#include "launch/stop_signal.hpp"

namespace hashep {
namespace {

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

/// Ends all ranks at once, where they cannot be expected to come to an agreement; a rank alone just
/// ends. Returns `code`.
int abort_job(const Communicator& comm, int code) {
  std::fflush(stdout);
  std::fflush(stderr);
  if (comm.size() == 1) return code;
  MPI_Abort(MPI_COMM_WORLD, code);
  std::_Exit(code);
}

/// Runs on all ranks; the exit code is the same on all of them.
int run_on_all_ranks(int argc, char** argv, const Communicator& comm) {
  const double kSetupDeadline = 120.0;  // seconds, until the options are known
  const volatile int* stop_signal = catch_stop_signals();
  std::optional<RunOptions> options;
  {
    Watch watch(comm, kSetupDeadline, stop_signal);
    agree(comm, watch, [&] { options = parse_command_line(argc, argv, comm.rank() == 0); });
    // A rank that has answered --help leaves the others waiting.
    require_same_settings(comm, watch, {{"--help or --version", options ? "not given" : "given"}});
  }
  if (!options) return kExitSuccess;

  Watch watch(comm, options->deadline, stop_signal);
  try {
    run_job(*options, std::vector<std::string>(argv + 1, argv + argc), comm, watch);
    watch.at({Phase::finish, -1, -1});
    watch.barrier();
    return kExitSuccess;
  } catch (const CollectiveInputError&) {
    throw;
  } catch (const CollectiveRunError&) {
    throw;
  } catch (const ReportedByPeer&) {
    // The reporter ends the job; should it fail to, so does this rank.
    std::this_thread::sleep_for(std::chrono::seconds(2));
    return abort_job(comm, kExitFailure);
  } catch (const std::bad_alloc&) {
    print_error("rank " + std::to_string(comm.rank()) + " in " + to_string(watch.position()) +
                ": out of memory");
    return abort_job(comm, kExitFailure);
  } catch (const InputError& error) {
    print_error(error.what());
    return abort_job(comm, kExitBadInput);
  } catch (const std::exception& error) {
    const std::string text = error.what();
    const std::string rank = "rank " + std::to_string(comm.rank());
    const bool names_rank = text.starts_with(rank);
    print_error(names_rank ? text : rank + " in " + to_string(watch.position()) + ": " + text);
    return abort_job(comm, kExitFailure);
  }
}

}  // namespace

int run_command(int argc, char** argv) {
  const MpiSession session(&argc, &argv);
  const Communicator comm(MPI_COMM_WORLD);
  try {
    return run_on_all_ranks(argc, argv, comm);
  } catch (const CollectiveInputError& error) {
    if (error.is_reporter()) print_error(error.what());
    return kExitBadInput;
  } catch (const CollectiveRunError& error) {
    if (error.is_reporter()) print_error(error.what());
    return kExitFailure;
  } catch (const ReportedByPeer&) {
    return abort_job(comm, kExitFailure);
  } catch (const std::exception& error) {
    print_error(error.what());
    return abort_job(comm, kExitFailure);
  }
}

int unknown_command(int argc, char** argv) {
  const MpiSession session(&argc, &argv);
  if (Communicator(MPI_COMM_WORLD).rank() == 0) {
    print_error("unknown command '" + std::string(argv[1]) + "'; hashep --help lists them");
  }
  return kExitBadInput;
}

}  // namespace hashep
