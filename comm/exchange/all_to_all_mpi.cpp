// SPDX-License-Identifier: Apache-2.0
#include "comm/exchange/all_to_all.hpp"

namespace hashep {

// The non-blocking call is used because only it can be waited for under a deadline.
void all_to_all(const Communicator& comm, Watch& watch, MPI_Datatype row_type,
                const RowsByRank& from, const std::byte* send, const RowsByRank& to,
                std::byte* recv) {
  MPI_Request request = MPI_REQUEST_NULL;
  check_mpi(MPI_Ialltoallv(send, from.counts.data(), from.displs.data(), row_type, recv,
                           to.counts.data(), to.displs.data(), row_type, comm.get(), &request),
            "MPI_Ialltoallv");
  watch.count_collective();
  watch.wait(request);
}

}  // namespace hashep
