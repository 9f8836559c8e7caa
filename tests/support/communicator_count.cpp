// SPDX-License-Identifier: Apache-2.0
// MPI's profiling interface: these stand before the library's own functions in the whole program,
// HashEP's libraries included.
#include "tests/support/communicator_count.hpp"

#include <mpi.h>

namespace {

int64_t made = 0;
int64_t freed = 0;

int count_made(int code, const MPI_Comm* comm) {
  if (code == MPI_SUCCESS && *comm != MPI_COMM_NULL) ++made;
  return code;
}

}  // namespace

namespace hashep::test {

int64_t communicators_held() {
  return made - freed;
}

int64_t communicators_made() {
  return made;
}

}  // namespace hashep::test

extern "C" {

int MPI_Comm_dup(MPI_Comm comm, MPI_Comm* copy) {
  return count_made(PMPI_Comm_dup(comm, copy), copy);
}

int MPI_Comm_split(MPI_Comm comm, int color, int key, MPI_Comm* part) {
  return count_made(PMPI_Comm_split(comm, color, key, part), part);
}

int MPI_Comm_split_type(MPI_Comm comm, int type, int key, MPI_Info info, MPI_Comm* part) {
  return count_made(PMPI_Comm_split_type(comm, type, key, info, part), part);
}

int MPI_Comm_free(MPI_Comm* comm) {
  ++freed;
  return PMPI_Comm_free(comm);
}

}  // extern "C"
