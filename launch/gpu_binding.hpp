// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/topology.hpp"
#include "comm/watch.hpp"
#include "launch/machine_topology.hpp"
#include "runtime/layer/visible_gpu.hpp"

namespace hashep {

/// Which GPU a rank computes on, and what is near to it.
struct GpuBinding {
  std::string host;
  int gpu = 0;          // in the rank's own numbering
  std::string name;     // of the GPU
  std::string pci_id;   // "0000:1b:00.0"
  int numa_node = -1;   // that the GPU is attached to; -1: not known
  std::string nic;      // nearest to the GPU; empty: not known
  std::string cores;    // that the rank was bound to here; empty: it was left where it was
  std::string dispute;  // where launcher and MPI disagree on the rank's place; else empty
};

struct GpuBindingOptions {
  bool share_gpu = false;  // ranks may share a GPU
  bool bind_cpu = true;    // ranks that no launcher has bound go to the cores near their GPU
};

/// Chooses the GPU of each rank (choose_gpus, node by node) and binds the calling thread to the
/// cores near it. `gpus`: what this rank sees. To be called before threads are made. Throws
/// CollectiveInputError on all ranks where not every rank can have a GPU; nothing is bound then.
/// Collective.
GpuBinding bind_gpu(const Communicator& comm, const Topology& topology, Watch& watch,
                    std::span<const VisibleGpu> gpus, MachineTopology& machine,
                    const GpuBindingOptions& options);

}  // namespace hashep
