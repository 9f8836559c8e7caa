// SPDX-License-Identifier: Apache-2.0
#include "launch/process/launcher_count.hpp"

#include <array>
#include <charconv>
#include <optional>
#include <string_view>

namespace hashep {
namespace {

/// Variables that a launcher gives each process: the number of ranks, and which one it is.
struct Variables {
  const char* size;
  const char* rank;
};

constexpr std::array kLaunchers = {
    Variables{"OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_RANK"},  // Open MPI
    Variables{"PMI_SIZE", "PMI_RANK"},                          // MPICH, Intel MPI, HPE Cray
    Variables{"MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_RANK"},    // MVAPICH2
    Variables{"JSM_NAMESPACE_SIZE", "JSM_NAMESPACE_RANK"},      // IBM's jsrun
    Variables{"FLUX_JOB_SIZE", "FLUX_TASK_RANK"},
};
constexpr const char* kPmixRank = "PMIX_RANK";  // says no size
constexpr Variables kSlurmStep = {"SLURM_STEP_NUM_TASKS", "SLURM_PROCID"};
constexpr Variables kSlurmJob = {"SLURM_NTASKS", "SLURM_PROCID"};
constexpr const char* kSlurmParts =
    "SLURM_HET_SIZE";  // a step of several parts: counts one of them

std::optional<int> number(const Lookup& lookup, const char* variable) {
  const char* value = lookup(variable);
  if (value == nullptr) return std::nullopt;
  const std::string_view text = value;
  int number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || number < 0) return std::nullopt;
  return number;
}

/// What the nearest launcher says in other words than MPI; empty where it agrees or says nothing.
std::string contradiction(const Lookup& lookup, int mpi_size) {
  const auto says = [](const char* variable, int value) {
    return std::string(variable) + " is " + std::to_string(value);
  };
  std::string contradicted;
  for (const Variables& launcher : kLaunchers) {
    const auto size = number(lookup, launcher.size);
    if (!size) continue;
    if (*size == mpi_size) return "";
    if (contradicted.empty()) contradicted = says(launcher.size, *size);
  }
  if (!contradicted.empty()) return contradicted;
  if (lookup(kSlurmParts) == nullptr) {
    for (const Variables& slurm : {kSlurmStep, kSlurmJob}) {
      const auto size = number(lookup, slurm.size);
      if (size && *size != mpi_size) return says(slurm.size, *size);
      if (size) break;
    }
  }
  const auto rank = number(lookup, kPmixRank);
  return rank && *rank >= mpi_size ? says(kPmixRank, *rank) : "";
}

}  // namespace

LauncherComplaint launcher_complaint(const Lookup& lookup, int mpi_size,
                                     const std::string& library) {
  const char* insists = lookup(kLauncherCheckVariable);
  if (insists != nullptr && std::string_view(insists) == "off") return {};
  const std::string launcher = contradiction(lookup, mpi_size);
  if (launcher.empty()) return {};
  const bool is_open_mpi = library.find("Open MPI") != std::string::npos;
  const int first = launcher.starts_with(kPmixRank) ? mpi_size : 0;  // lower ranks do not meet it
  std::string text =
      launcher + ", but MPI (" + library + ") counts " + std::to_string(mpi_size) +
      (mpi_size == 1 ? " rank" : " ranks") +
      ": the launcher and this MPI do not talk to each other; use the mpirun of this MPI, or "
      "under Slurm srun --mpi=" +
      (is_open_mpi ? "pmix" : "pmi2") + "; where " + std::to_string(mpi_size) +
      " is what you want, set " + kLauncherCheckVariable + "=off";
  return {std::move(text), rank_by_launcher(lookup) <= first};
}

int rank_by_launcher(const Lookup& lookup) {
  for (const Variables& launcher : kLaunchers) {
    if (const auto rank = number(lookup, launcher.rank)) return *rank;
  }
  for (const char* variable : {kPmixRank, kSlurmStep.rank}) {
    if (const auto rank = number(lookup, variable)) return *rank;
  }
  return -1;
}

}  // namespace hashep
