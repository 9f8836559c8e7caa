// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "launch/process/environment.hpp"

namespace hashep {

/// The variable that, set to "off", lets a program run though launcher and MPI disagree.
inline constexpr const char* kLauncherCheckVariable = "HASHEP_LAUNCHER_CHECK";

struct LauncherComplaint {
  std::string text;  // empty: there is none
  /// Whether this process is the first that meets it, of those that take themselves to be alone.
  bool is_first = true;
};

/// What an error line is to say where the launcher's variables (of mpirun, srun and others) give
/// another number of ranks than MPI does: both numbers, and the usual cures. This is how it looks
/// when the launcher and this MPI do not talk, and every process believes that it is alone. None
/// where they agree, where no launcher says a number, and where HASHEP_LAUNCHER_CHECK is "off".
///
/// The launcher that is nearest to the process counts: mpirun's variables come before Slurm's, and
/// those of a Slurm step before those of its job. `library`: MPI's own name.
LauncherComplaint launcher_complaint(const Lookup& lookup, int mpi_size,
                                     const std::string& library);

/// Which rank the launcher says that this process is; -1 where none says it.
int rank_by_launcher(const Lookup& lookup);

}  // namespace hashep
