// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "comm/communicator.hpp"
#include "comm/watch.hpp"
#include "hashep/node_map.hpp"

namespace hashep {

/// Where the ranks of a job run.
struct Topology {
  NodeMap nodes;
  Communicator node;  // the ranks of this rank's node, in the same order
};

/// The ranks of a job, as what they make together needs them: all of them, where they run, and who
/// watches over the waits between them.
struct JobRanks {
  const Communicator& comm;
  const Topology& topology;
  Watch& watch;
};

/// Asks MPI which ranks share memory; so it is right under mpirun and srun alike, whatever the
/// mapping. Collective.
Topology find_topology(const Communicator& comm, Watch& watch);

/// The same where the caller knows better than MPI: ranks that give the same `label`, not negative,
/// make a node; they must share memory. Collective.
Topology topology_by_label(const Communicator& comm, Watch& watch, int label);

}  // namespace hashep
