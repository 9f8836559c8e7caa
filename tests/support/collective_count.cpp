// SPDX-License-Identifier: Apache-2.0
// MPI's profiling interface: these stand before the library's own functions in the whole program,
// HashEP's libraries included.
#include "tests/support/collective_count.hpp"

#include <mpi.h>

#include <map>

namespace {

std::map<std::string, int64_t>& counts() {
  static std::map<std::string, int64_t> by_name;
  return by_name;
}

}  // namespace

namespace hashep::test {

std::map<std::string, int64_t> collective_counts() {
  return counts();
}

}  // namespace hashep::test

extern "C" {

int MPI_Barrier(MPI_Comm comm) {
  ++counts()["MPI_Barrier"];
  return PMPI_Barrier(comm);
}

int MPI_Ibarrier(MPI_Comm comm, MPI_Request* request) {
  ++counts()["MPI_Ibarrier"];
  return PMPI_Ibarrier(comm, request);
}

int MPI_Bcast(void* buffer, int count, MPI_Datatype type, int root, MPI_Comm comm) {
  ++counts()["MPI_Bcast"];
  return PMPI_Bcast(buffer, count, type, root, comm);
}

int MPI_Ibcast(void* buffer, int count, MPI_Datatype type, int root, MPI_Comm comm,
               MPI_Request* request) {
  ++counts()["MPI_Ibcast"];
  return PMPI_Ibcast(buffer, count, type, root, comm, request);
}

int MPI_Allreduce(const void* send, void* recv, int count, MPI_Datatype type, MPI_Op op,
                  MPI_Comm comm) {
  ++counts()["MPI_Allreduce"];
  return PMPI_Allreduce(send, recv, count, type, op, comm);
}

int MPI_Iallreduce(const void* send, void* recv, int count, MPI_Datatype type, MPI_Op op,
                   MPI_Comm comm, MPI_Request* request) {
  ++counts()["MPI_Iallreduce"];
  return PMPI_Iallreduce(send, recv, count, type, op, comm, request);
}

int MPI_Allgather(const void* send, int sends, MPI_Datatype send_type, void* recv, int recvs,
                  MPI_Datatype recv_type, MPI_Comm comm) {
  ++counts()["MPI_Allgather"];
  return PMPI_Allgather(send, sends, send_type, recv, recvs, recv_type, comm);
}

int MPI_Iallgather(const void* send, int sends, MPI_Datatype send_type, void* recv, int recvs,
                   MPI_Datatype recv_type, MPI_Comm comm, MPI_Request* request) {
  ++counts()["MPI_Iallgather"];
  return PMPI_Iallgather(send, sends, send_type, recv, recvs, recv_type, comm, request);
}

int MPI_Iallgatherv(const void* send, int sends, MPI_Datatype send_type, void* recv,
                    const int* recvs, const int* to, MPI_Datatype recv_type, MPI_Comm comm,
                    MPI_Request* request) {
  ++counts()["MPI_Iallgatherv"];
  return PMPI_Iallgatherv(send, sends, send_type, recv, recvs, to, recv_type, comm, request);
}

int MPI_Alltoall(const void* send, int sends, MPI_Datatype send_type, void* recv, int recvs,
                 MPI_Datatype recv_type, MPI_Comm comm) {
  ++counts()["MPI_Alltoall"];
  return PMPI_Alltoall(send, sends, send_type, recv, recvs, recv_type, comm);
}

int MPI_Alltoallv(const void* send, const int* sends, const int* from, MPI_Datatype send_type,
                  void* recv, const int* recvs, const int* to, MPI_Datatype recv_type,
                  MPI_Comm comm) {
  ++counts()["MPI_Alltoallv"];
  return PMPI_Alltoallv(send, sends, from, send_type, recv, recvs, to, recv_type, comm);
}

int MPI_Ialltoallv(const void* send, const int* sends, const int* from, MPI_Datatype send_type,
                   void* recv, const int* recvs, const int* to, MPI_Datatype recv_type,
                   MPI_Comm comm, MPI_Request* request) {
  ++counts()["MPI_Ialltoallv"];
  return PMPI_Ialltoallv(send, sends, from, send_type, recv, recvs, to, recv_type, comm, request);
}

int MPI_Comm_dup(MPI_Comm comm, MPI_Comm* made) {
  ++counts()["MPI_Comm_dup"];
  return PMPI_Comm_dup(comm, made);
}

int MPI_Win_allocate_shared(MPI_Aint size, int unit, MPI_Info info, MPI_Comm comm, void* base,
                            MPI_Win* window) {
  ++counts()["MPI_Win_allocate_shared"];
  return PMPI_Win_allocate_shared(size, unit, info, comm, base, window);
}

int MPI_Win_free(MPI_Win* window) {
  ++counts()["MPI_Win_free"];
  return PMPI_Win_free(window);
}

int MPI_Win_fence(int hint, MPI_Win window) {
  ++counts()["MPI_Win_fence"];
  return PMPI_Win_fence(hint, window);
}

}  // extern "C"
