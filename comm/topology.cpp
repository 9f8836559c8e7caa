// SPDX-License-Identifier: Apache-2.0
#include "comm/topology.hpp"

#include <functional>

#include "comm/agreement.hpp"
#include "core/narrow.hpp"

namespace hashep {

namespace {

/// Calls `split`, which cannot be polled.
Communicator guarded(const Watch& watch, const std::function<Communicator()>& split) {
  const BlockingCallScope call(watch, "finding the ranks of its node", true);
  return split();
}

/// The map that follows from each rank's communicator of its node.
Topology with_node(const Communicator& comm, Watch& watch, Communicator node) {
  // A node's label is its lowest rank.
  MPI_Group all = MPI_GROUP_NULL;
  MPI_Group local = MPI_GROUP_NULL;
  check_mpi(MPI_Comm_group(comm.get(), &all), "MPI_Comm_group");
  check_mpi(MPI_Comm_group(node.get(), &local), "MPI_Comm_group");
  const int first = 0;
  int label = 0;
  check_mpi(MPI_Group_translate_ranks(local, 1, &first, all, &label), "MPI_Group_translate_ranks");
  check_mpi(MPI_Group_free(&local), "MPI_Group_free");
  check_mpi(MPI_Group_free(&all), "MPI_Group_free");
  std::vector<int32_t> labels;
  for (const int64_t of_rank : gather_word(comm, watch, label)) {
    labels.push_back(narrow<int32_t>(of_rank, "rank"));
  }
  return {NodeMap(labels), std::move(node)};
}

}  // namespace

// A rank that is missing shows at the barriers; one that is lost behind them, to the guards.

Topology find_topology(const Communicator& comm, Watch& watch) {
  watch.barrier();
  return with_node(comm, watch, guarded(watch, [&] { return Communicator::of_node(comm); }));
}

Topology topology_by_label(const Communicator& comm, Watch& watch, int label) {
  watch.barrier();
  return with_node(comm, watch,
                   guarded(watch, [&] { return Communicator::of_label(comm, label); }));
}

}  // namespace hashep
