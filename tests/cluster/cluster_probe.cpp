// SPDX-License-Identifier: Apache-2.0
// cluster_probe: each rank tells which host it is on and which ranks it shares memory with.
// cluster_probe to_last|from_last MIB: the last rank gets so many MiB from each of the others, or
// sends them; prints how many milliseconds it took.
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <string>
#include <vector>

#include "comm/communicator.hpp"
#include "core/narrow.hpp"

namespace {

using namespace hashep;

constexpr int kLineBytes = 256;

/// The ranks that MPI says can share memory with this one, as they stand in a window which they
/// really share: each wrote its own, and reads the others'.
std::string ranks_in_shared_window(const Communicator& comm) {
  MPI_Comm node = MPI_COMM_NULL;
  check_mpi(
      MPI_Comm_split_type(comm.get(), MPI_COMM_TYPE_SHARED, comm.rank(), MPI_INFO_NULL, &node),
      "MPI_Comm_split_type");
  const Communicator group(node);
  check_mpi(MPI_Comm_free(&node), "MPI_Comm_free");

  int* own = nullptr;
  MPI_Win window = MPI_WIN_NULL;
  check_mpi(
      MPI_Win_allocate_shared(sizeof(int), sizeof(int), MPI_INFO_NULL, group.get(), &own, &window),
      "MPI_Win_allocate_shared");
  check_mpi(MPI_Win_fence(0, window), "MPI_Win_fence");
  *own = comm.rank();
  check_mpi(MPI_Win_fence(0, window), "MPI_Win_fence");
  std::string ranks;
  for (int peer = 0; peer < group.size(); ++peer) {
    MPI_Aint bytes = 0;
    int unit = 0;
    const int* value = nullptr;
    check_mpi(MPI_Win_shared_query(window, peer, &bytes, &unit, &value), "MPI_Win_shared_query");
    ranks += (ranks.empty() ? "" : ",") + std::to_string(*value);
  }
  check_mpi(MPI_Win_free(&window), "MPI_Win_free");
  return ranks;
}

void tell_hosts(const Communicator& comm) {
  std::array<char, 64> host{};
  if (gethostname(host.data(), host.size() - 1) != 0) throw RunError("gethostname failed");
  std::array<char, kLineBytes> line{};
  std::snprintf(line.data(), line.size(), "rank %d on %s shares memory with %s", comm.rank(),
                host.data(), ranks_in_shared_window(comm).c_str());
  std::vector<char> lines(static_cast<size_t>(comm.size()) * kLineBytes);
  check_mpi(MPI_Gather(line.data(), kLineBytes, MPI_CHAR, lines.data(), kLineBytes, MPI_CHAR, 0,
                       comm.get()),
            "MPI_Gather");
  if (comm.rank() != 0) return;
  for (size_t at = 0; at < lines.size(); at += kLineBytes) std::puts(lines.data() + at);
}

void transfer(const Communicator& comm, bool to_last, int64_t bytes) {
  const int last = comm.size() - 1;
  const int count = narrow<int>(bytes, "bytes");
  std::vector<char> data(bytes * comm.size());
  const auto send = [&](int peer, int size) {
    check_mpi(MPI_Send(data.data(), size, MPI_CHAR, peer, 0, comm.get()), "MPI_Send");
  };
  const auto receive = [&](int peer, int size) {
    check_mpi(MPI_Recv(data.data(), size, MPI_CHAR, peer, 0, comm.get(), MPI_STATUS_IGNORE),
              "MPI_Recv");
  };
  if (comm.rank() != last) {
    receive(last, 0);
    if (to_last) send(last, count);
    if (!to_last) receive(last, count);
    send(last, 0);
    return;
  }
  // The clock runs before any rank may send, so that no byte is on its way unseen.
  const auto begin = std::chrono::steady_clock::now();
  for (int peer = 0; peer < last; ++peer) send(peer, 0);
  // All at once, each into or out of its own part of the data.
  std::vector<MPI_Request> requests(last, MPI_REQUEST_NULL);
  for (int peer = 0; peer < last; ++peer) {
    const auto at = static_cast<size_t>(peer);
    char* part = data.data() + at * static_cast<size_t>(bytes);
    if (to_last) {
      check_mpi(MPI_Irecv(part, count, MPI_CHAR, peer, 0, comm.get(), &requests[at]), "MPI_Irecv");
    } else {
      check_mpi(MPI_Isend(part, count, MPI_CHAR, peer, 0, comm.get(), &requests[at]), "MPI_Isend");
    }
  }
  check_mpi(MPI_Waitall(last, requests.data(), MPI_STATUSES_IGNORE), "MPI_Waitall");
  for (int peer = 0; peer < last; ++peer) receive(peer, 0);
  const auto time = std::chrono::steady_clock::now() - begin;
  std::printf("%lld\n", static_cast<long long>(
                            std::chrono::duration_cast<std::chrono::milliseconds>(time).count()));
}

}  // namespace

int main(int argc, char** argv) {
  const MpiSession mpi(&argc, &argv);
  try {
    const Communicator comm(MPI_COMM_WORLD);
    if (argc > 2) {
      transfer(comm, std::string(argv[1]) == "to_last", int64_t{std::atoi(argv[2])} << 20);
    } else {
      tell_hosts(comm);
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "cluster_probe: error: %s\n", error.what());
    MPI_Abort(MPI_COMM_WORLD, 1);
  }
}
