// SPDX-License-Identifier: Apache-2.0
#include "comm/rank_program.hpp"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <thread>

#include "comm/agreement.hpp"
#include "core/exit_code.hpp"
#include "core/standard_streams.hpp"

namespace hashep {
namespace {

constexpr double kParseDeadline = 120.0;  // seconds, until the options are known

/// Ends all ranks at once, where they cannot be expected to come to an agreement; a rank alone just
/// ends. Returns `code`.
int abort_job(const Communicator& comm, int code) {
  std::fflush(stdout);
  std::fflush(stderr);
  if (comm.size() == 1) return code;
  MPI_Abort(MPI_COMM_WORLD, code);
  std::_Exit(code);
}

/// Errors that all ranks know of leave it.
int run_to_end(const Communicator& comm, const RankProgram& program) {
  std::optional<double> deadline;
  {
    Watch watch(comm, kParseDeadline, program.stop_signal);
    agree(comm, watch, [&] { deadline = program.parse(comm.rank() == 0); });
    // A rank that has answered --help leaves the others waiting.
    require_same_settings(comm, watch, {{"--help or --version", deadline ? "not given" : "given"}});
    if (!deadline) agree(comm, watch, flush_stdout);
  }
  if (!deadline) return kExitSuccess;

  Watch watch(comm, *deadline, program.stop_signal);
  try {
    program.work(comm, watch);
    watch.at({Phase::finish, -1, -1});
    agree(comm, watch, flush_stdout);
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
    print_error(program.name, "rank " + std::to_string(comm.rank()) + " in " +
                                  to_string(watch.position()) + ": out of memory");
    return abort_job(comm, kExitFailure);
  } catch (const InputError& error) {
    print_error(program.name, error.what());
    return abort_job(comm, kExitBadInput);
  } catch (const std::exception& error) {
    const std::string text = error.what();
    const std::string rank = "rank " + std::to_string(comm.rank());
    const bool names_rank = text.starts_with(rank);
    print_error(program.name,
                names_rank ? text : rank + " in " + to_string(watch.position()) + ": " + text);
    return abort_job(comm, kExitFailure);
  }
}

}  // namespace

int run_on_ranks(const Communicator& comm, const RankProgram& program) {
  try {
    return run_to_end(comm, program);
  } catch (const CollectiveInputError& error) {
    if (error.is_reporter()) print_error(program.name, error.what());
    return kExitBadInput;
  } catch (const CollectiveRunError& error) {
    if (error.is_reporter()) print_error(program.name, error.what());
    return kExitFailure;
  } catch (const ReportedByPeer&) {
    return abort_job(comm, kExitFailure);
  } catch (const std::exception& error) {
    print_error(program.name, error.what());
    return abort_job(comm, kExitFailure);
  }
}

void settle_reporter(Watch& watch, const std::function<void()>& work) {
  try {
    work();
  } catch (const std::exception& error) {
    if (dynamic_cast<const ReporterKnown*>(&error) == nullptr) watch.claim_report();
    throw;
  }
}

}  // namespace hashep
