// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "launch/process/launcher_count.hpp"

namespace hashep {

/// Which rank of its node a process is, as its launcher says.
struct LauncherRank {
  std::string variable;  // the environment variable that says so
  int local_rank = 0;
};

/// Of the launcher that is nearest to the process: mpirun's variables come before Slurm's, as an
/// mpirun in a Slurm job leaves SLURM_LOCALID as it was for mpirun itself. Nothing where no
/// launcher says, or where it says no number.
std::optional<LauncherRank> launcher_rank(const Lookup& lookup);

/// For a line that begins with "note: ": what MPI and the launcher say, where they disagree. Empty
/// where they agree. MPI's `local_index` is what counts.
std::string launcher_disagreement(const Lookup& lookup, int local_index);

}  // namespace hashep
