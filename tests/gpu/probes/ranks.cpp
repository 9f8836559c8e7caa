// SPDX-License-Identifier: Apache-2.0
// Whether programs with MPI, oneDNN and hwloc can be compiled, linked and run on ranks here.
#include <dnnl.h>
#include <hwloc.h>
#include <mpi.h>

#include <cstdio>

namespace {

/// What does not work; null where all does.
const char* fault() {
  int rank = 0;
  int size = 0;
  if (MPI_Comm_rank(MPI_COMM_WORLD, &rank) != MPI_SUCCESS ||
      MPI_Comm_size(MPI_COMM_WORLD, &size) != MPI_SUCCESS) {
    return "MPI_Comm_rank";
  }
  int sum = 0;
  if (MPI_Allreduce(&rank, &sum, 1, MPI_INT, MPI_SUM, MPI_COMM_WORLD) != MPI_SUCCESS || size < 2 ||
      sum != size * (size - 1) / 2) {
    return "MPI_Allreduce over two ranks";
  }
  dnnl_engine_t engine = nullptr;
  if (dnnl_engine_create(&engine, dnnl_cpu, 0) != dnnl_success ||
      dnnl_engine_destroy(engine) != dnnl_success) {
    return "dnnl_engine_create";
  }
  hwloc_topology_t topology = nullptr;
  if (hwloc_topology_init(&topology) != 0 || hwloc_topology_load(topology) != 0) {
    return "hwloc_topology_load";
  }
  hwloc_topology_destroy(topology);
  if (rank == 0) {
    const dnnl_version_t* const version = dnnl_version();
    std::printf("%d ranks by MPI, oneDNN %d.%d, hwloc\n", size, version->major, version->minor);
  }
  return nullptr;
}

}  // namespace

int main(int argc, char** argv) {
  if (MPI_Init(&argc, &argv) != MPI_SUCCESS) return 1;
  const char* const failed = fault();
  if (failed != nullptr) std::printf("%s failed\n", failed);
  return MPI_Finalize() == MPI_SUCCESS && failed == nullptr ? 0 : 1;
}
