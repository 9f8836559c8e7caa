// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/exchange/transport.hpp"
#include "comm/topology.hpp"
#include "comm/watch.hpp"
#include "hashep/backend.hpp"
#include "hashep/weight_source.hpp"
#include "runtime/layer/layer_weights.hpp"
#include "runtime/layer/stack_runner.hpp"
#include "runtime/layer/visible_gpu.hpp"
#include "runtime/model/model_config.hpp"

namespace hashep {

/// The one place that knows which devices and transports this build has.

/// The device that a run uses.
struct DeviceChoice {
  Device device = Device::cpu;  // or cuda
  std::string why_cpu;          // where a build for GPUs was left the choice, and uses none
};

/// Throws InputError where this build does not have the device. Local, and before any rank waits.
void require_device(Device device);

/// Throws InputError where the device is not to be had. Local; looks for GPUs.
DeviceChoice resolve_device(Device device);

/// The GPUs that this process may use, in its own numbering; none where this build has no CUDA.
/// Throws RunError where CUDA fails. Local.
std::vector<VisibleGpu> visible_gpus();

/// How a stack computes on a GPU.
struct GpuRunOptions {
  int gpu = 0;  // which of visible_gpus
  DType dtype = DType::f32;
  bool residual = true;
  TransportKind transport = TransportKind::automatic;  // automatic, ipc, nccl, hier
  bool share_gpu = false;                              // ranks may share a GPU
  std::optional<Landing> landing = {};                 // of nccl; empty: by rule
  bool overlap = true;                                 // dispatch beside the experts
  GraphMode graph = GraphMode::automatic;
  GemmGrouping expert_gemm = GemmGrouping::per_expert;
  bool check_finite = false;
  WeightDigests* digests = nullptr;  // of weights, filled in unless null
};

/// How rows move between the GPUs of these ranks. GPU `options.gpu` becomes the calling thread's
/// current one. Automatic transport is none where there is one rank (local), ipc where all ranks
/// share a node, else hier; nccl where the GPUs of some node do not reach each other's memory.
/// Throws InputError where the transport cannot work there, or this build has no CUDA; RunError
/// where the GPUs or NCCL refuse. Collective. `topology` and `watch` must outlive the transport.
std::unique_ptr<Transport> make_device_transport(const GpuRunOptions& options,
                                                 const Communicator& comm, const Topology& topology,
                                                 Watch& watch);

/// The stack on GPU `options.gpu`, the current one. Local. Throws InputError on bad weights, and
/// where this build has no CUDA. `watch` must outlive it.
std::unique_ptr<StackRunner> make_gpu_runner(const ModelConfig& config, const WeightSource& weights,
                                             std::span<const Placement> placements,
                                             const GpuRunOptions& options,
                                             std::unique_ptr<Transport> transport, Watch& watch);

/// Throws InputError where no device of this build has such a transport; local, and before any rank
/// waits.
void require_transport(TransportKind kind);

/// The transport that `kind` stands for between CPUs on these nodes: automatic is shm where all
/// ranks share a node, else hier; any other is itself. Throws InputError where it cannot work
/// there, or is for GPUs. Local.
TransportKind resolve_transport(TransportKind kind, const NodeMap& nodes);

/// `kind`: as for resolve_transport. Collective. `topology` and `watch` must outlive the transport.
std::unique_ptr<Transport> make_transport(TransportKind kind, const Communicator& comm,
                                          const Topology& topology, Watch& watch, int threads);

}  // namespace hashep
