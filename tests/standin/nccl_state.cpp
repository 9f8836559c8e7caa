// SPDX-License-Identifier: Apache-2.0
#include "tests/standin/nccl_state.hpp"

#include <sched.h>

#include <algorithm>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <utility>

#include "tests/standin/nccl.hpp"
#include "tests/standin/state.hpp"

namespace hashep::test::standin {
namespace {

/// One run of a group, for its stream.
Poll begin_run(const std::shared_ptr<Link>& link, const Group& group) {
  const int64_t number = nccl().groups_begun++;
  if (number == nccl().async_group) link->error = static_cast<ncclResult_t>(nccl().async_code);
  const auto is_from = [number](int64_t first) { return first >= 0 && number >= first; };
  const bool stuck = is_from(nccl().async_group) || is_from(nccl().stuck_group);
  auto messages =
      stuck || link->aborted ? nullptr : std::make_shared<NcclMessages>(link->comm, group.messages);
  return [link, messages] { return link->aborted || (messages != nullptr && messages->is_done()); };
}

ncclResult_t launch(ncclComm& comm) {
  const std::shared_ptr<const Group> group = std::exchange(comm.to_launch, nullptr);
  MemoryRanges memory;
  for (const NcclMessage& message : group->messages)
    memory.push_back({message.data, message.bytes});
  std::shared_ptr<const void> graph;
  const CUstream_st* const stream = find_stream(group->stream);
  if (stream != nullptr && stream->capture != nullptr) {
    graph = std::make_shared<char>();
    std::erase_if(comm.captured, [](const Captured& other) { return other.graph.expired(); });
    comm.captured.push_back({graph, memory});
  }
  const auto work = [link = comm.link, group, graph] { return begin_run(link, *group); };
  const cudaError_t code = ask_polled(group->stream, work, &comm, std::move(memory));
  if (code == cudaErrorInvalidValue) {
    return refuse(ncclInvalidUsage, "a group has no order to the communicator's last one");
  }
  return code == cudaSuccess ? ncclSuccess : ncclUnhandledCudaError;
}

bool is_complete(MPI_Request& request) {
  int done = 0;
  return MPI_Test(&request, &done, MPI_STATUS_IGNORE) == MPI_SUCCESS && done != 0;
}

/// Goes on with the making: until it is there, MPI has no errors to return on it.
bool is_made(NcclComm& comm) {
  return is_complete(comm.request) &&
         MPI_Comm_set_errhandler(comm.link->comm, MPI_ERRORS_RETURN) == MPI_SUCCESS;
}

/// Goes on with finalizing: when no group is left, all ranks meet.
bool is_finalized(ncclComm& comm) {
  if (comm.finalized) return is_complete(comm.request);
  std::erase_if(comm.groups, [](const auto& group) { return group.expired(); });
  if (!comm.groups.empty()) return false;
  comm.finalized = MPI_Ibarrier(comm.link->comm, &comm.request) == MPI_SUCCESS;
  return false;
}

void plan_failure_from_environment() {
  const auto planned = failure_from_environment("HASHEP_STANDIN_NCCL");
  if (!planned) return;
  if (planned->what == "async_error") {
    nccl_async_error(planned->code, planned->at);
  } else if (planned->what == "never_complete") {
    nccl_never_complete(planned->at);
  } else {
    throw std::logic_error("HASHEP_STANDIN_NCCL: unknown failure " + planned->what);
  }
}

bool collide(const NcclMessage& a, const NcclMessage& b) {
  return !(a.is_send && b.is_send) && overlap({a.data, a.bytes}, {b.data, b.bytes});
}

}  // namespace

NcclState& nccl() {
  if (state().nccl == nullptr) {
    state().nccl = std::make_shared<NcclState>();
    plan_failure_from_environment();
  }
  return *static_cast<NcclState*>(state().nccl.get());
}

ncclResult_t refuse(ncclResult_t code, const char* why) {
  nccl().last_error = why;
  return code;
}

ncclResult_t go_on(ncclComm& comm) {
  if (comm.link->error != ncclSuccess) return comm.link->error;
  if (comm.progress == Progress::none) return ncclSuccess;
  if (!std::exchange(comm.looked_at, true) && !comm.blocking) return ncclInProgress;
  if (comm.progress == Progress::init && !is_made(comm)) return ncclInProgress;
  if (comm.progress == Progress::finalize && !is_finalized(comm)) return ncclInProgress;
  if (comm.progress == Progress::launch) {
    // The group may have met its error already, on its way into the stream.
    if (const ncclResult_t code = launch(comm); code != ncclSuccess) comm.link->error = code;
  }
  comm.progress = Progress::none;
  return comm.link->error;
}

ncclResult_t begin_progress(ncclComm& comm, Progress progress) {
  comm.progress = progress;
  comm.looked_at = false;
  if (!comm.blocking) return ncclInProgress;
  ncclResult_t code = go_on(comm);
  for (; code == ncclInProgress; code = go_on(comm)) sched_yield();
  return code;
}

ncclComm* find_comm(ncclComm_t handle) {
  ncclComm* const comm = nccl().comms.find(handle);
  return comm == nullptr || comm->link->hold->is_gone ? nullptr : comm;
}

ncclResult_t check_ready(ncclComm_t handle) {
  const ncclComm* comm = find_comm(handle);
  if (comm == nullptr) return refuse(ncclInvalidArgument, "no communicator");
  if (comm->link->error != ncclSuccess) return comm->link->error;
  if (comm->progress != Progress::none) {
    return refuse(ncclInvalidArgument, "the communicator has something in progress");
  }
  return comm->finalized ? refuse(ncclInvalidUsage, "the communicator was finalized") : ncclSuccess;
}

bool is_registered(const ncclComm& comm, const MemoryRange& range) {
  const auto begin = reinterpret_cast<uintptr_t>(range.data);
  const auto holds_it = [&](const auto& entry) {
    const auto first = reinterpret_cast<uintptr_t>(entry.second.data);
    return first <= begin && begin + static_cast<uintptr_t>(range.bytes) <=
                                 first + static_cast<uintptr_t>(entry.second.bytes);
  };
  const auto& registered = comm.link->hold->registered;
  return std::any_of(registered.begin(), registered.end(), holds_it);
}

bool is_in_use(const ncclComm& comm, const MemoryRange& range) {
  const auto uses_it = [&](const NcclMessage& message) {
    return overlap({message.data, message.bytes}, range);
  };
  return std::any_of(comm.groups.begin(), comm.groups.end(), [&](const auto& weak) {
    const std::shared_ptr<const Group> group = weak.lock();
    return group != nullptr && std::any_of(group->messages.begin(), group->messages.end(), uses_it);
  });
}

ncclResult_t add_message(NcclMessage message, ncclDataType_t type, ncclComm_t comm,
                         cudaStream_t stream) {
  Group& group = nccl().group;
  if (const ncclResult_t code = check_ready(comm); code != ncclSuccess) return code;
  if (nccl().group_depth == 0) return refuse(ncclInvalidUsage, "a message outside of a group");
  if (type != ncclUint8 && type != ncclInt8) {
    return refuse(ncclInvalidArgument, "not a message of bytes");
  }
  if (message.peer < 0 || message.peer >= comm->size) {
    return refuse(ncclInvalidArgument, "no such peer");
  }
  if (!state().memory.is_gpu(message.data, message.bytes)) {
    return refuse(ncclInvalidArgument, "a message outside of GPU memory");
  }
  if (find_stream(stream) == nullptr) return refuse(ncclInvalidArgument, "no stream");
  if (group.comm != nullptr && (group.comm != comm || group.stream != stream)) {
    return refuse(ncclInvalidUsage, "a group with several communicators or streams");
  }
  if (std::any_of(group.messages.begin(), group.messages.end(),
                  [&](const NcclMessage& other) { return collide(message, other); })) {
    return refuse(ncclInvalidUsage, "messages of a group overlap");
  }
  message.is_registered = is_registered(*comm, {message.data, message.bytes});
  group.comm = comm;
  group.stream = stream;
  group.messages.push_back(message);
  return ncclSuccess;
}

ncclResult_t end_group() {
  const Group group = std::exchange(nccl().group, {});
  if (const ncclResult_t error = std::exchange(nccl().group_error, ncclSuccess)) return error;
  if (group.comm == nullptr) return ncclSuccess;
  if (const ncclResult_t code = check_ready(group.comm); code != ncclSuccess) return code;
  group.comm->to_launch = std::make_shared<const Group>(group);
  group.comm->groups.push_back(group.comm->to_launch);
  return begin_progress(*group.comm, Progress::launch);
}

void abort(ncclComm& comm) {
  constexpr auto kTeardown = std::chrono::milliseconds(20);
  const std::shared_ptr<CommunicatorHold> hold = comm.link->hold;
  const bool hangs = nccl().abort_hangs;
  std::vector<std::weak_ptr<const void>> graphs;
  for (const Captured& captured : comm.captured) {
    if (captured.graph.expired()) continue;
    graphs.push_back(captured.graph);
    hold->captured.insert(hold->captured.end(), captured.memory.begin(), captured.memory.end());
  }
  hold->is_aborting = true;  // captured is read from now on
  comm.link->aborted = true;
  while (hangs) std::this_thread::sleep_for(std::chrono::hours(1));
  // As NCCL does: graphs keep what their messages need.
  while (!std::all_of(graphs.begin(), graphs.end(), [](const auto& g) { return g.expired(); })) {
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  std::this_thread::sleep_for(kTeardown);
  hold->is_gone = true;
}

void nccl_async_error(int code, int64_t n) {
  nccl().async_code = code;
  nccl().async_group = n;
}

void nccl_never_complete(int64_t n) {
  nccl().stuck_group = n;
}

void nccl_hang_abort() {
  nccl().abort_hangs = true;
}

int64_t nccl_groups() {
  return nccl().groups_begun;
}

}  // namespace hashep::test::standin
