// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/backend_factory.hpp"

#include <algorithm>
#include <array>
#include <sstream>

#include "comm/exchange/hier_transport.hpp"
#include "comm/exchange/mpi_transport.hpp"
#include "comm/exchange/shm_transport.hpp"
#ifdef HASHEP_WITH_CUDA
#include "comm/agreement.hpp"
#include "comm/exchange/hier_device_transport.hpp"
#include "comm/exchange/ipc_transport.hpp"
#include "comm/exchange/local_device_transport.hpp"
#include "comm/exchange/nccl_transport.hpp"
#include "core/cuda/device.hpp"
#include "runtime/layer/cuda_stack_runner.hpp"
#endif

namespace hashep {
namespace {

constexpr std::array<std::string_view, 6> kTransports{"auto", "mpi", "shm", "hier", "nccl", "ipc"};

std::string known_transports() {
  std::string list;
  for (const std::string_view name : kTransports)
    list += (list.empty() ? "" : ", ") + std::string(name);
  return list;
}

#ifdef HASHEP_WITH_CUDA
constexpr bool kHasCuda = true;

/// Why this process cannot use a GPU; empty where it can.
std::string why_no_gpu() {
  const GpuSearch search = find_gpus();
  return search.count > 0 ? "" : "no GPU was found (" + search.why_none + ")";
}

/// The transport that `name` stands for between GPUs. `reach`: those of each node reach each
/// other's memory.
std::string resolve_device_transport(const std::string& name, const NodeMap& nodes, bool reach) {
  if (name == "mpi" || name == "shm") {
    throw InputError("--transport " + name +
                     " is for ranks on CPUs; between GPUs use auto, ipc, hier or nccl");
  }
  if (name == "auto") {
    if (nodes.ep_size() == 1) return "local";
    if (!reach) return "nccl";
    return nodes.num_nodes() == 1 ? "ipc" : "hier";
  }
  if (name == "ipc" && nodes.num_nodes() > 1) {
    std::ostringstream text;
    text << "--transport ipc: the job is on " << nodes << ", and ipc is for one node; use hier";
    throw InputError(text.str());
  }
  if (name != "nccl" && !reach) {
    throw InputError("--transport " + name +
                     ": GPUs of a node do not reach each other's memory; use nccl");
  }
  return name;
}

/// What is left to rules is empty.
ExchangeChoices exchange_choices(const GpuRunOptions& options) {
  ExchangeChoices choices;
  if (options.landing == "direct") choices.landing = Landing::direct;
  if (options.landing == "unpack") choices.landing = Landing::unpack;
  if (!options.overlap) choices.parts = 1;
  return choices;
}
#else
constexpr bool kHasCuda = false;

std::string why_no_gpu() {
  return "";
}
#endif

}  // namespace

void require_device(const std::string& name) {
  if (name == "cuda" && !kHasCuda) {
    throw InputError("--device cuda: this build has no CUDA; use cpu or auto");
  }
  if (name != "auto" && name != "cpu" && name != "cuda") {
    throw InputError("--device " + name + ": known devices are auto, cpu, cuda");
  }
}

DeviceChoice resolve_device(const std::string& name) {
  require_device(name);
  if (name == "cpu" || !kHasCuda) return {};
  const std::string why_cpu = why_no_gpu();
  if (why_cpu.empty()) return {.name = "cuda", .why_cpu = ""};
  if (name == "cuda") throw InputError("--device cuda: " + why_cpu);
  return {.name = "cpu", .why_cpu = why_cpu};
}

std::span<const std::string_view> transport_names() {
  return kTransports;
}

void require_transport(const std::string& name) {
  if (!kHasCuda && (name == "nccl" || name == "ipc")) {
    throw InputError("--transport " + name + ": not in this build; use mpi, shm, hier or auto");
  }
  if (std::find(kTransports.begin(), kTransports.end(), name) == kTransports.end()) {
    throw InputError("--transport " + name + ": known transports are " + known_transports());
  }
}

std::string resolve_transport(const std::string& name, const NodeMap& nodes) {
  require_transport(name);
  if (name == "nccl" || name == "ipc") {
    throw InputError("--transport " + name +
                     " is for ranks on GPUs; on CPUs use auto, mpi, shm or hier");
  }
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

#ifdef HASHEP_WITH_CUDA
std::vector<VisibleGpu> visible_gpus() {
  std::vector<VisibleGpu> gpus;
  const int count = find_gpus().count;
  for (int index = 0; index < count; ++index) {
    gpus.push_back({.name = gpu_name(index), .pci_id = pci_bus_id(index)});
  }
  return gpus;
}

std::unique_ptr<Transport> make_device_transport(const GpuRunOptions& options,
                                                 const Communicator& comm, const Topology& topology,
                                                 Watch& watch) {
  use_gpu(options.gpu);
  const bool node_reaches = peers_reach_each_other(topology.node, watch, options.gpu);
  const auto reaches = gather_word(comm, watch, node_reaches ? 1 : 0);
  const bool reach = std::find(reaches.begin(), reaches.end(), 0) == reaches.end();
  std::string name;
  agree(comm, watch,
        [&] { name = resolve_device_transport(options.transport, topology.nodes, reach); });
  const ExchangeChoices choices = exchange_choices(options);
  if (name == "local") return std::make_unique<LocalDeviceTransport>();
  if (name == "ipc") {
    return std::make_unique<IpcTransport>(topology, comm.rank(), watch, choices.parts);
  }
  if (options.share_gpu) separate_nccl_hosts(comm.rank());
  if (name == "hier") return std::make_unique<HierDeviceTransport>(comm, topology, watch);
  return std::make_unique<NcclTransport>(comm, watch, choices);
}

std::unique_ptr<StackRunner> make_gpu_runner(const ModelConfig& config, const WeightSource& weights,
                                             std::span<const Placement> placements,
                                             const GpuRunOptions& options,
                                             std::unique_ptr<Transport> transport, Watch& watch) {
  CudaExecOptions exec{
      .dtype = options.dtype, .residual = options.residual, .overlap = options.overlap};
  if (options.expert_gemm == "grouped") exec.grouping = GemmGrouping::grouped;
  if (options.expert_gemm == "fused") exec.grouping = GemmGrouping::fused;
  if (options.graph == "on") exec.graph = GraphMode::on;
  if (options.graph == "off") exec.graph = GraphMode::off;
  exec.observer = [&watch](const Position& position) { watch.at(position); };
  exec.reading = {.check_finite = options.check_finite,
                  .dtype = options.dtype,
                  .digests = options.digests,
                  .between = [&watch] { watch.check_in(); }};
  return std::make_unique<CudaStackRunner>(config, weights, placements, exec, use_gpu(options.gpu),
                                           std::move(transport), watch);
}
#else
std::vector<VisibleGpu> visible_gpus() {
  return {};
}

std::unique_ptr<Transport> make_device_transport(const GpuRunOptions&, const Communicator&,
                                                 const Topology&, Watch&) {
  throw InputError("--device cuda: this build has no CUDA; use cpu or auto");
}

std::unique_ptr<StackRunner> make_gpu_runner(const ModelConfig&, const WeightSource&,
                                             std::span<const Placement>, const GpuRunOptions&,
                                             std::unique_ptr<Transport>, Watch&) {
  throw InputError("--device cuda: this build has no CUDA; use cpu or auto");
}
#endif

}  // namespace hashep
