// SPDX-License-Identifier: Apache-2.0
#include "tests/standin/nccl_messages.hpp"

#include <cstring>
#include <string>
#include <utility>

#include "comm/communicator.hpp"
#include "core/narrow.hpp"
#include "hashep/error.hpp"
#include "tests/standin/state.hpp"

namespace hashep::test::standin {
namespace {

// MPI keeps the order between two ranks, as NCCL does. The tag tells whether the sender's memory is
// registered.
constexpr int kPlainTag = 0;
constexpr int kRegisteredTag = 1;

/// What MPI may still read or write when a run has been given up. Never freed.
std::vector<std::unique_ptr<std::byte[]>>& given_up() {
  static auto* const kept = new std::vector<std::unique_ptr<std::byte[]>>;
  return *kept;
}

std::string name_of(const NcclMessage& message) {
  return (message.is_send ? "a send to rank " : "a receive from rank ") +
         std::to_string(message.peer) + " of " + std::to_string(message.bytes) + " bytes";
}

}  // namespace

NcclMessages::NcclMessages(MPI_Comm comm, const std::vector<NcclMessage>& messages) {
  for (const NcclMessage& message : messages) {
    if (!state().memory.is_gpu(message.data, message.bytes)) {
      throw RunError(name_of(message) + " leaves its GPU memory");
    }
  }
  for (const NcclMessage& message : messages) {
    const auto bytes = static_cast<size_t>(message.bytes);
    const int count = narrow<int>(message.bytes, "bytes of a message");
    Flight flight{message, std::make_unique<std::byte[]>(bytes)};
    if (message.is_send) {
      std::memcpy(flight.copy.get(), message.data, bytes);
      const int tag = message.is_registered ? kRegisteredTag : kPlainTag;
      check_mpi(
          MPI_Isend(flight.copy.get(), count, MPI_BYTE, message.peer, tag, comm, &flight.request),
          "MPI_Isend");
    } else {
      std::memset(message.data, 0xff, bytes);
      check_mpi(MPI_Irecv(flight.copy.get(), count, MPI_BYTE, message.peer, MPI_ANY_TAG, comm,
                          &flight.request),
                "MPI_Irecv");
    }
    flights_.push_back(std::move(flight));
  }
}

NcclMessages::~NcclMessages() {
  for (Flight& flight : flights_) {
    if (flight.request != MPI_REQUEST_NULL) given_up().push_back(std::move(flight.copy));
  }
}

bool NcclMessages::is_done() {
  std::erase_if(flights_, [](Flight& flight) {
    const NcclMessage& message = flight.message;
    int done = 0;
    MPI_Status status;
    const int code = MPI_Test(&flight.request, &done, &status);
    if (code != MPI_SUCCESS) throw RunError(name_of(message) + " fails: more bytes were sent");
    if (done == 0 || message.is_send) return done != 0;
    int count = 0;
    check_mpi(MPI_Get_count(&status, MPI_BYTE, &count), "MPI_Get_count");
    if (count != message.bytes) {
      throw RunError(name_of(message) + " gets " + std::to_string(count));
    }
    if ((status.MPI_TAG == kRegisteredTag) != message.is_registered) {
      throw RunError(name_of(message) + ": memory is registered at one end alone");
    }
    std::memcpy(message.data, flight.copy.get(), count);
    return true;
  });
  return flights_.empty();
}

}  // namespace hashep::test::standin
