// SPDX-License-Identifier: Apache-2.0
#include "runtime/exec/backend_factory.hpp"

#include <algorithm>
#include <array>
#include <sstream>

#include "comm/transport/hier_transport.hpp"
#include "comm/transport/mpi_transport.hpp"
#include "comm/transport/shm_transport.hpp"

namespace hashep {
namespace {

constexpr std::array<std::string_view, 6> kTransports{"auto", "mpi", "shm", "hier", "nccl", "ipc"};

std::string known_transports() {
  std::string list;
  for (const std::string_view name : kTransports)
    list += (list.empty() ? "" : ", ") + std::string(name);
  return list;
}

}  // namespace

std::string resolve_device(const std::string& name) {
  if (name == "auto" || name == "cpu") return "cpu";
  if (name == "cuda") throw InputError("--device cuda: this build has no CUDA; use cpu or auto");
  throw InputError("--device " + name + ": known devices are auto, cpu, cuda");
}

std::span<const std::string_view> transport_names() {
  return kTransports;
}

void require_transport(const std::string& name) {
  if (name == "nccl" || name == "ipc") {
    throw InputError("--transport " + name + ": not in this build; use mpi, shm, hier or auto");
  }
  if (std::find(kTransports.begin(), kTransports.end(), name) == kTransports.end()) {
    throw InputError("--transport " + name + ": known transports are " + known_transports());
  }
}

std::string resolve_transport(const std::string& name, const NodeMap& nodes) {
  require_transport(name);
  if (name == "auto") return nodes.num_nodes() == 1 ? "shm" : "hier";
  if (name == "shm" && nodes.num_nodes() > 1) {
    std::ostringstream text;
    text << "--transport shm: the job is on " << nodes << ", and shm is for one node; use hier";
    throw InputError(text.str());
  }
  return name;
}

std::unique_ptr<Transport> make_transport(const std::string& name, const Communicator& comm,
                                          const Topology& topology, Watch& watch, int threads) {
  const std::string resolved = resolve_transport(name, topology.nodes);
  if (resolved == "shm") {
    return std::make_unique<ShmTransport>(topology, comm.rank(), watch, threads);
  }
  if (resolved == "hier") {
    return std::make_unique<HierTransport>(comm, topology, watch, threads);
  }
  return std::make_unique<MpiTransport>(comm, watch, threads);
}

}  // namespace hashep
