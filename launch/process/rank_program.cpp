// SPDX-License-Identifier: Apache-2.0
#include "launch/process/rank_program.hpp"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <new>
#include <thread>
#include <utility>

#include "comm/agreement.hpp"
#include "launch/process/environment.hpp"
#include "launch/process/exit_code.hpp"
#include "launch/process/launcher_count.hpp"
#include "launch/process/launcher_rank.hpp"
#include "launch/process/option_text.hpp"
#include "launch/process/standard_streams.hpp"
#include "launch/process/watchdog.hpp"

namespace hashep {
namespace {

constexpr double kParseDeadline = 120.0;  // seconds, where the options are wrong

/// The program on a rank, from MPI_Init on.
class Runner {
 public:
  Runner(const RankProgram& program, Watchdog& watchdog, Lookup environment)
      : program_(program), watchdog_(watchdog), environment_(std::move(environment)) {
    try {
      deadline_ = program.parse(false);
    } catch (const std::exception&) {
      parse_error_ = std::current_exception();  // told when MPI is up, once
    }
    watchdog.set_deadline(first_deadline());
  }

  int run(const Communicator& comm) {
    try {
      return run_to_end(comm);
    } catch (const CollectiveInputError& error) {
      return end_alike(error, error.is_reporter(), kExitBadInput);
    } catch (const CollectiveRunError& error) {
      return end_alike(error, error.is_reporter(), kExitFailure);
    } catch (const ReportedByPeer&) {
      return abort_job(comm, kExitFailure);
    } catch (const std::exception& error) {
      print(error);
      return abort_job(comm, kExitFailure);
    }
  }

  /// Where this rank is to speak; settings are said as the options of the program.
  void print(const std::string& text) {
    if (watchdog_.claim_error_line()) print_error(program_.name, text);
  }
  void print(const std::exception& error) { print(option_text(error)); }

 private:
  double first_deadline() const { return deadline_.value_or(kParseDeadline); }

  /// An error that all ranks know of: one of them speaks, and no other does so from now on,
  /// whatever happens to it in MPI_Finalize (mpirun ends the others once the first one has left).
  int end_alike(const std::exception& error, bool is_reporter, int code) {
    if (is_reporter) {
      print(error);
    } else {
      watchdog_.claim_error_line();
    }
    return code;
  }

  /// Ends all ranks at once, where they cannot be expected to come to an agreement; a rank alone
  /// just ends. Returns `code`.
  int abort_job(const Communicator& comm, int code) {
    std::fflush(stdout);
    std::fflush(stderr);
    if (comm.size() == 1) return code;
    watchdog_.end_soon(code);
    MPI_Abort(MPI_COMM_WORLD, code);
    std::_Exit(code);
  }

  /// Errors that all ranks know of leave it.
  int run_to_end(const Communicator& comm) {
    Watch watch(comm, first_deadline(), program_.stop_signal);
    watchdog_.leave();
    watch.set_policy(&watchdog_);
    agree(comm, watch, [&] {
      if (parse_error_) std::rethrow_exception(parse_error_);
      if (!deadline_) program_.parse(comm.rank() == 0);
    });
    // A rank that has answered --help leaves the others waiting.
    require_same_settings(comm, watch,
                          {{"--help or --version", deadline_ ? "not given" : "given"}});
    if (!deadline_) {
      agree(comm, watch, flush_stdout);
      return kExitSuccess;
    }
    agree(comm, watch, [&] { require_launcher_agrees(comm); });
    try {
      program_.work(comm, watch);
      watch.at({Phase::finish, -1, -1});
      agree(comm, watch, flush_stdout);
      watchdog_.enter("MPI_Finalize");
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
      print("rank " + std::to_string(comm.rank()) + " in " + to_string(watch.position()) +
            ": out of memory");
      return abort_job(comm, kExitFailure);
    } catch (const InputError& error) {
      print(error);
      return abort_job(comm, kExitBadInput);
    } catch (const std::exception& error) {
      const std::string text = option_text(error);
      const std::string rank = "rank " + std::to_string(comm.rank());
      const bool names_rank = text.starts_with(rank);
      print(names_rank ? text : rank + " in " + to_string(watch.position()) + ": " + text);
      return abort_job(comm, kExitFailure);
    }
  }

  /// Throws InputError where the launcher counts other ranks than MPI. Ranks that MPI knows nothing
  /// of each other of meet it alike: the launcher's first one speaks.
  void require_launcher_agrees(const Communicator& comm) {
    const LauncherComplaint complaint =
        launcher_complaint(environment_, comm.size(), MpiSession::library_version());
    if (complaint.text.empty()) return;
    if (comm.size() == 1 && !complaint.is_first) watchdog_.claim_error_line();
    throw InputError(complaint.text);
  }

  const RankProgram& program_;
  Watchdog& watchdog_;
  const Lookup environment_;
  std::optional<double> deadline_;  // of the command line
  std::exception_ptr parse_error_;
};

}  // namespace

int run_on_ranks(int* argc, char*** argv, const RankProgram& program) {
  const Environment environment;
  const Lookup look_up = environment.lookup();
  const auto local = launcher_rank(look_up);
  Watchdog watchdog(program.name, program.stop_signal,
                    {rank_by_launcher(look_up), local ? local->local_rank : -1});
  Runner runner(program, watchdog, look_up);
  watchdog.enter("MPI_Init");
  try {
    const MpiSession session(argc, argv);
    watchdog.enter("start");
    const Communicator comm(MPI_COMM_WORLD);
    watchdog.set_rank(comm.rank());
    const int code = runner.run(comm);
    watchdog.enter("MPI_Finalize");
    return code;
  } catch (const std::exception& error) {
    runner.print(error);
    return kExitFailure;
  }
}

}  // namespace hashep
