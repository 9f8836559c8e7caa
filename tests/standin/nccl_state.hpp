// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <mpi.h>
#include <nccl.h>

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "tests/standin/nccl_messages.hpp"
#include "tests/standin/state.hpp"
#include "tests/standin/table.hpp"

namespace hashep::test::standin {

/// What a communicator and the runs of its groups share.
struct Link {
  MPI_Comm comm = MPI_COMM_NULL;
  std::atomic<bool> aborted = false;  // ncclCommAbort may come from another thread
  ncclResult_t error = ncclSuccess;
  std::shared_ptr<CommunicatorHold> hold = std::make_shared<CommunicatorHold>();
};

/// The calls between ncclGroupStart and ncclGroupEnd.
struct Group {
  ncclComm* comm = nullptr;  // null before the first call
  cudaStream_t stream = nullptr;
  std::vector<NcclMessage> messages;
};

/// A group that was captured.
struct Captured {
  std::weak_ptr<const void> graph;  // gone when no graph holds the group any more
  MemoryRanges memory;
};

/// What a communicator has in progress.
enum class Progress { none, init, launch, finalize };

struct NcclComm {
  std::shared_ptr<Link> link = std::make_shared<Link>();
  int rank = 0;
  int size = 1;
  Progress progress = Progress::none;
  bool blocking = false;   // NCCL_COMM_BLOCKING=1
  bool looked_at = false;  // ncclInProgress was told since it is in progress
  bool finalized = false;
  MPI_Request request = MPI_REQUEST_NULL;          // of init and finalize
  std::shared_ptr<const Group> to_launch;          // of launch
  std::vector<std::weak_ptr<const Group>> groups;  // gone when no stream and no graph holds them
  std::vector<Captured> captured;
};

}  // namespace hashep::test::standin

/// What an ncclComm_t points to.
struct ncclComm : hashep::test::standin::NcclComm {};

namespace hashep::test::standin {

/// What the stand-in's NCCL knows, until `reset`.
struct NcclState {
  Table<ncclComm> comms;
  int group_depth = 0;
  Group group;
  ncclResult_t group_error = ncclSuccess;
  std::string last_error;

  int64_t groups_begun = 0;
  int64_t registrations = 0;  // ever
  int async_code = ncclSuccess;
  int64_t async_group = -1;  // -1: none
  int64_t stuck_group = -1;  // -1: none
  bool abort_hangs = false;
};
NcclState& nccl();

/// Notes what ncclGetLastError is to tell, and returns the code.
ncclResult_t refuse(ncclResult_t code, const char* why);

/// What a communicator has begun is in progress. Returns ncclInProgress.
ncclResult_t begin_progress(ncclComm& comm, Progress progress);
/// Goes on with what is in progress: ncclInProgress, or what came of it.
ncclResult_t go_on(ncclComm& comm);
/// Null where the communicator is none, or no longer.
ncclComm* find_comm(ncclComm_t handle);
/// ncclSuccess where the communicator is one, and ready for a call.
ncclResult_t check_ready(ncclComm_t handle);

/// Whether a group that is not done, or in a graph, sends or receives there.
bool is_in_use(const ncclComm& comm, const MemoryRange& range);

/// Adds a message to the group that was begun.
ncclResult_t add_message(NcclMessage message, ncclDataType_t type, ncclComm_t comm,
                         cudaStream_t stream);
ncclResult_t end_group();

/// What ncclCommAbort does, which may come from a thread of its own. Calls nothing of MPI.
void abort(ncclComm& comm);

}  // namespace hashep::test::standin
