// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>

#include "comm/exchange/all_to_all.hpp"

namespace hashep {
namespace {

constexpr int kTag = 1;
constexpr size_t kWindow = 32;  // messages each way at once: more than latency / time per message

}  // namespace

// A message to each rank that gets rows, the next higher rank first, and none to the others.
// Requests are waited for one by one: SimGrid's waits for many take the square of their number.
void all_to_all(const Communicator& comm, Watch& watch, MPI_Datatype row_type,
                const RowsByRank& from, const std::byte* send, const RowsByRank& to,
                std::byte* recv) {
  int row_bytes = 0;
  check_mpi(MPI_Type_size(row_type, &row_bytes), "MPI_Type_size");
  watch.count_collective();
  const auto own = static_cast<size_t>(comm.rank());
  const auto place = [row_bytes](const RowsByRank& side, size_t rank) {
    return static_cast<size_t>(side.displs[rank]) * static_cast<size_t>(row_bytes);
  };
  std::memcpy(recv + place(to, own), send + place(from, own),
              static_cast<size_t>(from.counts[own]) * static_cast<size_t>(row_bytes));

  std::vector<MPI_Request> requests;
  size_t complete = 0;
  const auto wait_down_to = [&](size_t pending) {
    for (; requests.size() - complete > pending; ++complete) {
      check_mpi(MPI_Wait(&requests[complete], MPI_STATUS_IGNORE), "MPI_Wait");
    }
  };
  for (int step = 1; step < comm.size(); ++step) {
    const int target = (comm.rank() + step) % comm.size();
    const int source = (comm.rank() + comm.size() - step) % comm.size();
    const auto t = static_cast<size_t>(target);
    const auto s = static_cast<size_t>(source);
    if (to.counts[s] > 0) {
      check_mpi(MPI_Irecv(recv + place(to, s), to.counts[s], row_type, source, kTag, comm.get(),
                          &requests.emplace_back(MPI_REQUEST_NULL)),
                "MPI_Irecv");
    }
    if (from.counts[t] > 0) {
      check_mpi(MPI_Isend(send + place(from, t), from.counts[t], row_type, target, kTag, comm.get(),
                          &requests.emplace_back(MPI_REQUEST_NULL)),
                "MPI_Isend");
    }
    wait_down_to(2 * kWindow);
  }
  wait_down_to(0);
}

}  // namespace hashep
