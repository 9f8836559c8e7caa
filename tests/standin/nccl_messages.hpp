// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mpi.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

namespace hashep::test::standin {

/// One ncclSend or ncclRecv.
struct NcclMessage {
  bool is_send = false;
  std::byte* data = nullptr;
  int64_t bytes = 0;
  int peer = 0;
  bool is_registered = false;
};

/// The messages of one run of a group on their way, through memory of their own: nothing of MPI's
/// writes to what a rank frees after it has given the group up.
class NcclMessages {
 public:
  /// Begins to send what the memory holds now, and fills what is to be received with 0xff until
  /// then. Throws RunError where the memory is not the GPU's.
  NcclMessages(MPI_Comm comm, const std::vector<NcclMessage>& messages);
  ~NcclMessages();
  NcclMessages(const NcclMessages&) = delete;
  NcclMessages& operator=(const NcclMessages&) = delete;

  /// Whether all have come and gone; never blocks. Throws RunError where the sizes at both ends
  /// differ.
  bool is_done();

 private:
  struct Flight {
    NcclMessage message;
    std::unique_ptr<std::byte[]> copy;
    MPI_Request request = MPI_REQUEST_NULL;
  };
  std::vector<Flight> flights_;  // those that are not done
};

}  // namespace hashep::test::standin
