// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "comm/communicator.hpp"
#include "comm/watch.hpp"

namespace hashep {

/// A program that runs on several ranks at once, alone or under mpirun.
struct RankProgram {
  std::string name;                           // what its error lines begin with
  const volatile int* stop_signal = nullptr;  // see Watch
  /// Reads and checks the command line, on each rank, before MPI is up and no rank speaks. Returns
  /// the deadline in seconds, or nothing where --help or --version was asked for: then it is called
  /// again when MPI is up, and the rank that `speaks` answers. Throws InputError.
  std::function<std::optional<double>(bool speaks)> parse;
  /// What the ranks do together.
  std::function<void(const Communicator& comm, Watch& watch)> work;
};

/// Runs the program on the ranks of MPI_COMM_WORLD, from MPI_Init to MPI_Finalize, and returns its
/// exit code, the same on all ranks (exit_code.hpp): an error makes one line on stderr from one
/// rank, and no rank waits for one that has left. The deadline holds from the call on, in MPI_Init
/// and MPI_Finalize too. Where launcher and MPI disagree on the number of ranks, that is bad input
/// (launcher_count.hpp). To be called first in main, with its arguments. Collective.
int run_on_ranks(int* argc, char*** argv, const RankProgram& program);

}  // namespace hashep
