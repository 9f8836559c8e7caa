// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "comm/communicator.hpp"
#include "comm/topology.hpp"
#include "comm/watch.hpp"
#include "launch/gpu_binding.hpp"
#include "launch/run_options.hpp"
#include "runtime/layer/backend_factory.hpp"

namespace hashep {

/// The device that all ranks of a run use, and which GPU is this rank's.
struct DeviceSetup {
  DeviceChoice choice;               // the same device on all ranks
  int gpu = 0;                       // of this rank, where the device is cuda
  std::vector<GpuBinding> bindings;  // of all ranks, on rank 0, where the device is cuda
};

/// Resolves --device; binds each rank to its GPU, and to the cores near it. With auto, all ranks
/// use the CPU where not each can have a GPU, and `choice` says why. Throws CollectiveInputError on
/// all ranks where --device cuda cannot be had. Collective.
DeviceSetup set_up_device(const RunOptions& options, const Communicator& comm,
                          const Topology& topology, Watch& watch);

}  // namespace hashep
