// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <string>
#include <vector>

namespace hashep {

/// A GPU as a rank sees it.
struct SeenGpu {
  std::string pci_id;  // "0000:1b:00.0": the same GPU is the same text for all ranks of a node
  int numa_node = -1;  // that the GPU is near to; -1: not known
};

/// What a rank can choose from.
struct GpuView {
  std::vector<SeenGpu> gpus;    // in the rank's own numbering
  std::vector<int> numa_nodes;  // whose cores the launcher bound the rank to; empty: to none
};

/// Which GPU each rank of a node takes, in the rank's own numbering. [ranks], in node order.
///
/// Each rank has a GPU of its own. Among all such choices, the one in which every rank is bound to
/// cores near its GPU, if there is one; among those left, the first rank takes the lowest number it
/// can, then the second, and so on. So where all see the same list, rank i of the node takes GPU i
/// unless the launcher's bindings tell otherwise.
///
/// With `share`, and where not each rank can have its own: rank i of n takes number i * g / n of
/// the g it sees.
///
/// Throws InputError, naming the host, where not each rank can have its own without `share`, or
/// where a rank sees none. A pure function: all ranks of a node get the same.
std::vector<int> choose_gpus(const std::string& host, std::span<const GpuView> ranks, bool share);

}  // namespace hashep
