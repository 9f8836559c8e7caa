// SPDX-License-Identifier: Apache-2.0
#include "python/src/mpi_session.hpp"

#include <mpi.h>
#include <nanobind/stl/string.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "comm/communicator.hpp"
#include "hashep/error.hpp"
#include "launch/process/environment.hpp"
#include "launch/process/launcher_count.hpp"

namespace hashep::python {
namespace {

bool is_ours = false;  // this module has started MPI

bool mpi_has_begun() {
  int begun = 0;
  check_mpi(MPI_Initialized(&begun), "MPI_Initialized");
  return begun != 0;
}

/// torchrun starts processes, and no MPI among them.
void require_no_torchrun(const Lookup& lookup) {
  if (lookup("TORCHELASTIC_RUN_ID") == nullptr || rank_by_launcher(lookup) >= 0) return;
  throw InputError(
      "torchrun has started this process, and MPI knows nothing of the other ranks; start the "
      "program with: launch/mpirun.sh RANKS python3 PROGRAM, mpirun -np RANKS python3 PROGRAM, or "
      "srun");
}

/// Ends the process where MPI_Finalize or MPI_Abort does not return.
void end_process_after(double seconds) {
  std::thread([seconds] {
    std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
    std::fputs("hashep: error: MPI did not end; another rank may be lost\n", stderr);
    std::_Exit(1);
  }).detach();
}

}  // namespace

void begin_mpi() {
  if (mpi_is_up()) return;
  if (mpi_has_begun()) throw InputError("MPI has ended; it cannot be started again in a process");
  const Environment environment;  // MPI_Init may change it
  require_no_torchrun(environment.lookup());
  int provided = 0;
  check_mpi(MPI_Init_thread(nullptr, nullptr, MPI_THREAD_SERIALIZED, &provided), "MPI_Init_thread");
  is_ours = true;
  int size = 0;
  check_mpi(MPI_Comm_size(MPI_COMM_WORLD, &size), "MPI_Comm_size");
  const LauncherComplaint complaint =
      launcher_complaint(environment.lookup(), size, MpiSession::library_version());
  if (!complaint.text.empty()) throw InputError(complaint.text);
}

void end_mpi(bool failed, double deadline) {
  if (!is_ours || !mpi_is_up()) return;
  end_process_after(deadline);
  int size = 1;
  check_mpi(MPI_Comm_size(MPI_COMM_WORLD, &size), "MPI_Comm_size");
  if (failed && size > 1) {
    std::fflush(stdout);
    std::fflush(stderr);
    check_mpi(MPI_Abort(MPI_COMM_WORLD, 1), "MPI_Abort");
  }
  check_mpi(MPI_Finalize(), "MPI_Finalize");
}

void bind_session(nanobind::module_& module) {
  module.def("_end_mpi", &end_mpi, nanobind::arg("failed"), nanobind::arg("deadline"),
             nanobind::call_guard<nanobind::gil_scoped_release>());
  module.def("mpi_library", &MpiSession::library_version, "Name and version of the MPI library.");
}

}  // namespace hashep::python
