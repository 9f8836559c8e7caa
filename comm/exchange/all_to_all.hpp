// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mpi.h>

#include <cstddef>
#include <vector>

#include "comm/communicator.hpp"
#include "comm/watch.hpp"

namespace hashep {

/// One side of an all-to-all, in rows: to or from each rank. [comm.size()], displs one more.
struct RowsByRank {
  std::vector<int> counts;
  std::vector<int> displs;
};

/// Sends `from`'s rows and receives `to`'s, under the watch's deadline: MPI_Ialltoallv
/// (all_to_all_mpi.cpp). A simulator gets the messages that Open MPI's makes, which it can follow
/// at hundreds of ranks where its own all-to-all takes hours (all_to_all_smpi.cpp). Collective.
void all_to_all(const Communicator& comm, Watch& watch, MPI_Datatype row_type,
                const RowsByRank& from, const std::byte* send, const RowsByRank& to,
                std::byte* recv);

}  // namespace hashep
