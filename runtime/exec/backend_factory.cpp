// SPDX-License-Identifier: Apache-2.0
#include "runtime/exec/backend_factory.hpp"

#include "comm/transport/mpi_transport.hpp"

namespace hashep {

std::string resolve_device(const std::string& name) {
  if (name == "auto" || name == "cpu") return "cpu";
  if (name == "cuda") throw InputError("--device cuda: this build has no CUDA; use cpu or auto");
  throw InputError("--device " + name + ": known devices are auto, cpu, cuda");
}

void require_transport(const std::string& name) {
  if (name == "auto" || name == "mpi") return;
  if (name == "shm" || name == "hier" || name == "nccl" || name == "ipc") {
    throw InputError("--transport " + name + ": not in this build; use mpi or auto");
  }
  throw InputError("--transport " + name +
                   ": known transports are auto, mpi, shm, hier, nccl, ipc");
}

std::unique_ptr<Transport> make_transport(const std::string& name, const Communicator& comm,
                                          Watch& watch, int threads) {
  require_transport(name);
  return std::make_unique<MpiTransport>(comm, watch, threads);
}

}  // namespace hashep
