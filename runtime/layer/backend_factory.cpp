// SPDX-License-Identifier: Apache-2.0
#include "runtime/layer/backend_factory.hpp"

#include <algorithm>
#include <sstream>

#include "comm/exchange/hier_transport.hpp"
#include "comm/exchange/mpi_transport.hpp"
#include "comm/exchange/shm_transport.hpp"
#include "core/setting.hpp"
#include "hashep/error.hpp"
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

/// An error about a transport: "transport hier: " or the like, and the text.
[[noreturn]] void refuse(TransportKind kind, const std::string& text) {
  throw InputError(setting("transport") + " " + std::string(transport_name(kind)) + text);
}

/// For a transport within a node in a job on several.
[[noreturn]] void refuse_nodes(TransportKind kind, const NodeMap& nodes) {
  std::ostringstream text;
  text << ": the job is on " << nodes << ", and " << transport_name(kind)
       << " is for one node; use hier";
  refuse(kind, text.str());
}

[[noreturn]] void refuse_cuda(const std::string& why) {
  throw InputError(setting("device") + " cuda: " + why);
}

constexpr const char* kNoCuda = "this build has no CUDA; use cpu or auto";

#ifdef HASHEP_WITH_CUDA
constexpr bool kHasCuda = true;

/// Why this process cannot use a GPU; empty where it can.
std::string why_no_gpu() {
  const GpuSearch search = find_gpus();
  return search.count > 0 ? "" : "no GPU was found (" + search.why_none + ")";
}

/// The transport that `kind` stands for between GPUs; nothing where there is one rank, which needs
/// none. `reach`: those of each node reach each other's memory.
std::optional<TransportKind> resolve_device_transport(TransportKind kind, const NodeMap& nodes,
                                                      bool reach) {
  if (kind == TransportKind::mpi || kind == TransportKind::shm) {
    refuse(kind, " is for ranks on CPUs; between GPUs use auto, ipc, hier or nccl");
  }
  if (kind == TransportKind::automatic) {
    if (nodes.ep_size() == 1) return std::nullopt;
    if (!reach) return TransportKind::nccl;
    return nodes.num_nodes() == 1 ? TransportKind::ipc : TransportKind::hier;
  }
  if (kind == TransportKind::ipc && nodes.num_nodes() > 1) refuse_nodes(kind, nodes);
  if (kind != TransportKind::nccl && !reach) {
    refuse(kind, ": GPUs of a node do not reach each other's memory; use nccl");
  }
  return kind;
}
#else
constexpr bool kHasCuda = false;

std::string why_no_gpu() {
  return "";
}
#endif

}  // namespace

void require_device(Device device) {
  if (device == Device::cuda && !kHasCuda) refuse_cuda(kNoCuda);
}

DeviceChoice resolve_device(Device device) {
  require_device(device);
  if (device == Device::cpu || !kHasCuda) return {};
  const std::string why_cpu = why_no_gpu();
  if (why_cpu.empty()) return {.device = Device::cuda, .why_cpu = ""};
  if (device == Device::cuda) refuse_cuda(why_cpu);
  return {.device = Device::cpu, .why_cpu = why_cpu};
}

void require_transport(TransportKind kind) {
  if (!kHasCuda && (kind == TransportKind::nccl || kind == TransportKind::ipc)) {
    refuse(kind, ": not in this build; use mpi, shm, hier or auto");
  }
}

TransportKind resolve_transport(TransportKind kind, const NodeMap& nodes) {
  require_transport(kind);
  const bool is_one_node = nodes.num_nodes() == 1;
  switch (kind) {
    case TransportKind::automatic:
      return is_one_node ? TransportKind::shm : TransportKind::hier;
    case TransportKind::shm:
      if (!is_one_node) refuse_nodes(kind, nodes);
      return kind;
    case TransportKind::mpi:
    case TransportKind::hier:
      return kind;
    case TransportKind::nccl:
    case TransportKind::ipc:
      break;
  }
  refuse(kind, " is for ranks on GPUs; on CPUs use auto, mpi, shm or hier");
}

std::unique_ptr<Transport> make_transport(TransportKind kind, const Communicator& comm,
                                          const Topology& topology, Watch& watch, int threads) {
  const TransportKind resolved = resolve_transport(kind, topology.nodes);
  if (resolved == TransportKind::shm) {
    return std::make_unique<ShmTransport>(topology, comm.rank(), watch, threads);
  }
  if (resolved == TransportKind::hier) {
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
  std::optional<TransportKind> kind;
  agree(comm, watch,
        [&] { kind = resolve_device_transport(options.transport, topology.nodes, reach); });
  const std::optional<int> parts = options.overlap ? std::nullopt : std::optional(1);
  if (!kind) return std::make_unique<LocalDeviceTransport>();
  if (kind == TransportKind::ipc) {
    return std::make_unique<IpcTransport>(topology, comm.rank(), watch, parts);
  }
  if (options.share_gpu) separate_nccl_hosts(comm.rank());
  if (kind == TransportKind::hier) {
    return std::make_unique<HierDeviceTransport>(comm, topology, watch);
  }
  return std::make_unique<NcclTransport>(comm, watch, ExchangeChoices{options.landing, parts});
}

std::unique_ptr<StackRunner> make_gpu_runner(const ModelConfig& config, const WeightSource& weights,
                                             std::span<const Placement> placements,
                                             const GpuRunOptions& options,
                                             std::unique_ptr<Transport> transport, Watch& watch) {
  CudaExecOptions exec{
      .dtype = options.dtype, .residual = options.residual, .overlap = options.overlap};
  exec.grouping = options.expert_gemm;
  exec.graph = options.graph;
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
  refuse_cuda(kNoCuda);
}

std::unique_ptr<StackRunner> make_gpu_runner(const ModelConfig&, const WeightSource&,
                                             std::span<const Placement>, const GpuRunOptions&,
                                             std::unique_ptr<Transport>, Watch&) {
  refuse_cuda(kNoCuda);
}
#endif

}  // namespace hashep
