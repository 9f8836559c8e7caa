// SPDX-License-Identifier: Apache-2.0
// Stands between the transports and SMPI by MPI's profiling interface: this program's own functions
// come first where it is linked with -Bsymbolic. Communicators are those of whole jobs, so that a
// destination is a rank of the job.
#include "benchmarks/sim/sent_messages.hpp"

#include <mpi.h>

namespace hashep::bench {
namespace {

const NodeMap* counted_nodes = nullptr;
SentMessages counted;

void count_message(int count, MPI_Datatype type, int destination, MPI_Comm comm) {
  int rank = 0;
  int bytes = 0;
  if (counted_nodes == nullptr || PMPI_Comm_rank(comm, &rank) != MPI_SUCCESS ||
      PMPI_Type_size(type, &bytes) != MPI_SUCCESS ||
      counted_nodes->node_of(rank) == counted_nodes->node_of(destination)) {
    return;
  }
  ++counted.messages;
  counted.bytes += static_cast<int64_t>(count) * bytes;
}

}  // namespace

void count_sent_messages(const NodeMap& nodes) {
  counted_nodes = &nodes;
  counted = {};
}

SentMessages sent_messages() {
  return counted;
}

}  // namespace hashep::bench

extern "C" {

int MPI_Isend(const void* data, int count, MPI_Datatype type, int destination, int tag,
              MPI_Comm comm, MPI_Request* request) {
  hashep::bench::count_message(count, type, destination, comm);
  return PMPI_Isend(data, count, type, destination, tag, comm, request);
}

int MPI_Issend(const void* data, int count, MPI_Datatype type, int destination, int tag,
               MPI_Comm comm, MPI_Request* request) {
  hashep::bench::count_message(count, type, destination, comm);
  return PMPI_Issend(data, count, type, destination, tag, comm, request);
}

}  // extern "C"
