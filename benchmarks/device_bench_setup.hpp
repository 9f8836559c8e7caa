// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "benchmarks/rank_options.hpp"
#include "comm/communicator.hpp"
#include "comm/exchange/transport.hpp"
#include "comm/topology.hpp"
#include "comm/watch.hpp"
#include "core/cuda/device.hpp"
#include "launch/gpu_binding.hpp"

namespace hashep::bench {

/// The GPU of this rank, and on rank 0 those of all.
struct BenchGpu {
  int index = 0;
  GpuInfo info;
  std::vector<GpuBinding> bindings;
};

/// Gives each rank a GPU, which becomes the calling thread's current one, and binds it to the cores
/// near that. Throws CollectiveInputError on all ranks where not each can have one. Collective.
BenchGpu set_up_gpu(const GpuExchangeOptions& options, const Communicator& comm,
                    const Topology& topology, Watch& watch);

/// Lines on rank 0's GPU, and on which rank has which, for the head of a table.
std::string gpu_head(const BenchGpu& gpu);

/// The transports between GPUs that were asked for, and a line for each that `all` left out.
struct DeviceTransports {
  std::vector<std::unique_ptr<Transport>> transports;
  std::vector<std::string> left_out;
};

/// Makes transports; an empty list stands for each one that these GPUs can have. Throws
/// CollectiveInputError where a named one is not to be had, RunError where NCCL or a GPU refuses.
/// `topology` and `watch` must outlive them. Collective.
DeviceTransports make_device_transports(const ExchangeOptions& options, int gpu,
                                        const Communicator& comm, const Topology& topology,
                                        Watch& watch);

}  // namespace hashep::bench
