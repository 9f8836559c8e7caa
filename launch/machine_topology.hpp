// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

struct hwloc_topology;

namespace hashep {

/// What hwloc can tell of a machine: which NUMA node and network interface a GPU is near to, and
/// where this process may run. What it cannot tell, in a container say, is -1 or empty: no error.
/// NUMA nodes have the operating system's numbers. Errors: InputError where hwloc cannot read the
/// machine or the file.
class MachineTopology {
 public:
  /// This machine; or what hwloc's own variables name instead (HWLOC_XMLFILE).
  static MachineTopology of_this_machine();
  /// A file in hwloc's XML (`lstopo FILE.xml`). `is_this_machine`: processes may be bound by it.
  static MachineTopology from_xml(const std::string& path, bool is_this_machine = false);

  /// NUMA nodes that have cores.
  int num_numa_nodes() const;

  /// The NUMA node that the device "0000:1b:00.0" is attached to; -1: not known.
  int numa_node_of(const std::string& pci_id) const;

  /// The network interface nearest to that device, which is the one that shares the longest part of
  /// its way to the CPU, the first of them where there are several: of the InfiniBand and RoCE ones
  /// with an active port ("mlx5_0") if there are any, else of the others that are up ("eth0").
  /// Empty: not known, or none.
  std::string nearest_nic(const std::string& pci_id) const;

  /// The NUMA nodes whose cores the calling thread may run on; empty: all of them, or not known.
  std::vector<int> bound_numa_nodes() const;

  /// Binds the calling thread, and those it makes from now on, to the cores of a NUMA node that the
  /// process may use, unless it is already bound to fewer cores than these, or there is but one
  /// NUMA node. Returns the cores ("0-15"); empty: nothing was bound.
  std::string bind_to(int numa_node);

 private:
  struct Destroy {
    void operator()(hwloc_topology* topology) const;
  };
  MachineTopology() = default;
  static MachineTopology load(const std::string& xml_path, bool is_this_machine);

  std::unique_ptr<hwloc_topology, Destroy> topology_;
};

}  // namespace hashep
