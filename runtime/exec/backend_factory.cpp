// SPDX-License-Identifier: Apache-2.0
#include "runtime/exec/backend_factory.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <sstream>

#include "comm/transport/hier_transport.hpp"
#include "comm/transport/mpi_transport.hpp"
#include "comm/transport/shm_transport.hpp"
#ifdef HASHEP_WITH_CUDA
#include "core/cuda/device.hpp"
#include "runtime/exec/cuda_stack_runner.hpp"
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

/// Why a job of `ranks` cannot run on GPUs here; empty where it can.
std::string why_no_gpu(int ranks) {
  const GpuSearch search = find_gpus();
  if (search.count == 0) return "no GPU was found (" + search.why_none + ")";
  if (ranks > 1) {
    return "the exchange between GPUs is not in this build, and these are " +
           std::to_string(ranks) + " ranks";
  }
  return "";
}
#else
constexpr bool kHasCuda = false;

std::string why_no_gpu(int) {
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

DeviceChoice resolve_device(const std::string& name, int ranks) {
  require_device(name);
  if (name == "cpu" || !kHasCuda) return {};
  const std::string why_cpu = why_no_gpu(ranks);
  if (why_cpu.empty()) return {.name = "cuda", .why_cpu = ""};
  if (name == "cuda") throw InputError("--device cuda: " + why_cpu);
  return {.name = "cpu", .why_cpu = why_cpu};
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

#ifdef HASHEP_WITH_CUDA
std::vector<VisibleGpu> visible_gpus() {
  std::vector<VisibleGpu> gpus;
  const int count = find_gpus().count;
  for (int index = 0; index < count; ++index) {
    std::string pci_id = pci_bus_id(index);
    // As Linux and hwloc write it.
    std::transform(pci_id.begin(), pci_id.end(), pci_id.begin(),
                   [](unsigned char digit) { return static_cast<char>(std::tolower(digit)); });
    gpus.push_back({.name = gpu_name(index), .pci_id = std::move(pci_id)});
  }
  return gpus;
}

std::unique_ptr<StackRunner> make_gpu_runner(const ModelConfig& config, const WeightSource& weights,
                                             std::span<const Placement> placements,
                                             const GpuRunOptions& options, Watch& watch) {
  CudaExecOptions exec{.dtype = options.dtype, .residual = options.residual};
  exec.grouping =
      options.expert_gemm == "grouped" ? GemmGrouping::grouped : GemmGrouping::per_expert;
  if (options.graph == "on") exec.graph = GraphMode::on;
  if (options.graph == "off") exec.graph = GraphMode::off;
  exec.reading = {.check_finite = options.check_finite,
                  .between = [&watch] { watch.check_stop(); }};
  return std::make_unique<CudaStackRunner>(config, weights, placements, exec, use_gpu(options.gpu),
                                           nullptr, watch);
}
#else
std::vector<VisibleGpu> visible_gpus() {
  return {};
}

std::unique_ptr<StackRunner> make_gpu_runner(const ModelConfig&, const WeightSource&,
                                             std::span<const Placement>, const GpuRunOptions&,
                                             Watch&) {
  throw InputError("--device cuda: this build has no CUDA; use cpu or auto");
}
#endif

}  // namespace hashep
