// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nanobind/nanobind.h>

namespace hashep::python {

/// Starts MPI where nothing else has, which then ends it too. Throws InputError where the process
/// was started by a launcher that MPI knows nothing of, so that every rank would take itself to be
/// alone.
void begin_mpi();

/// For the end of the program, once: ends MPI where begin_mpi has started it. With `failed` and
/// other ranks all of them are ended (MPI_Abort). No rank waits longer than `deadline` seconds for
/// one that does not come: the process then ends with exit code 1.
void end_mpi(bool failed, double deadline);

void bind_session(nanobind::module_& module);

}  // namespace hashep::python
