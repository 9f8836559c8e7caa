// SPDX-License-Identifier: Apache-2.0
#include "launch/process/launcher_rank.hpp"

#include <array>
#include <charconv>
#include <string_view>

namespace hashep {
namespace {

constexpr std::array kVariables = {
    "OMPI_COMM_WORLD_LOCAL_RANK",  // Open MPI
    "MPI_LOCALRANKID",             // MPICH, Intel MPI
    "MV2_COMM_WORLD_LOCAL_RANK",   // MVAPICH2
    "PALS_LOCAL_RANKID",           // HPE Cray
    "PMI_LOCAL_RANK",
    "FLUX_TASK_LOCAL_ID",
    "SLURM_LOCALID",
};

}  // namespace

std::optional<LauncherRank> launcher_rank(const Lookup& lookup) {
  for (const char* variable : kVariables) {
    const char* value = lookup(variable);
    if (value == nullptr) continue;
    const std::string_view text = value;
    int rank = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), rank);
    if (error != std::errc() || end != text.data() + text.size() || rank < 0) return std::nullopt;
    return LauncherRank{variable, rank};
  }
  return std::nullopt;
}

std::string launcher_disagreement(const Lookup& lookup, int local_index) {
  const auto launcher = launcher_rank(lookup);
  if (!launcher || launcher->local_rank == local_index) return "";
  return "MPI counts it as number " + std::to_string(local_index) + " of its node, " +
         launcher->variable + " is " + std::to_string(launcher->local_rank) +
         "; MPI's count decides which GPU it takes";
}

}  // namespace hashep
