// SPDX-License-Identifier: Apache-2.0
// The calls of NCCL.
#include <mpi.h>
#include <nccl.h>

#include <cstdlib>
#include <memory>
#include <string_view>
#include <utility>

#include "tests/standin/nccl_state.hpp"
#include "tests/standin/state.hpp"

using namespace hashep::test::standin;

namespace {

constexpr std::string_view kIdText = "stand-in";
constexpr const char* kOnPurpose = "a failure on purpose";

/// A call of NCCL: counted, failing where it is to, else what `body` returns.
template <typename Body>
ncclResult_t nccl_call(const char* call, Body&& body) {
  if (const auto code = count_call(call)) {
    return refuse(static_cast<ncclResult_t>(*code), kOnPurpose);
  }
  if (state().gpu_count == 0 || state().work_error != cudaSuccess) return ncclUnhandledCudaError;
  return body();
}

/// A message's call: one that fails makes its group fail.
template <typename Body>
ncclResult_t message_call(const char* call, Body&& body) {
  const ncclResult_t code = nccl_call(call, body);
  if (code != ncclSuccess) nccl().group_error = code;
  return code;
}

/// One that gives something back, which it does also where it is to fail (as cuda_release).
template <typename Body>
ncclResult_t nccl_release(const char* call, Body&& body) {
  const auto injected = count_call(call);
  const ncclResult_t code = body();
  return injected ? refuse(static_cast<ncclResult_t>(*injected), kOnPurpose) : code;
}

}  // namespace

extern "C" {

ncclResult_t ncclGetVersion(int* version) {
  return nccl_release("ncclGetVersion", [&] {
    *version = NCCL_VERSION_CODE;
    return ncclSuccess;
  });
}

ncclResult_t ncclGetUniqueId(ncclUniqueId* id) {
  return nccl_call("ncclGetUniqueId", [&] {
    *id = {};
    kIdText.copy(id->internal, sizeof(id->internal));
    return ncclSuccess;
  });
}

ncclResult_t ncclCommInitRankConfig(ncclComm_t* handle, int size, ncclUniqueId id, int rank,
                                    ncclConfig_t* config) {
  *handle = nullptr;
  return nccl_call("ncclCommInitRankConfig", [&] {
    if (refuse_in_capture() != cudaSuccess) return ncclUnhandledCudaError;
    int world_rank = 0;
    int world_size = 0;
    if (MPI_Comm_rank(MPI_COMM_WORLD, &world_rank) != MPI_SUCCESS ||
        MPI_Comm_size(MPI_COMM_WORLD, &world_size) != MPI_SUCCESS) {
      return ncclInternalError;
    }
    if (std::string_view(id.internal, kIdText.size()) != kIdText) {
      return refuse(ncclInvalidArgument, "not an id of ncclGetUniqueId");
    }
    if (rank != world_rank || size != world_size || config->blocking != 0) {
      return refuse(ncclInvalidArgument, "not all ranks, or not non-blocking");
    }
    auto comm = std::make_unique<ncclComm>();
    comm->rank = rank;
    comm->size = size;
    const char* const blocking = std::getenv("NCCL_COMM_BLOCKING");  // comes before the config
    comm->blocking = blocking != nullptr && std::string_view(blocking) == "1";
    if (MPI_Comm_idup(MPI_COMM_WORLD, &comm->link->comm, &comm->request) != MPI_SUCCESS) {
      return ncclInternalError;
    }
    state().communicators.push_back(comm->link->hold);
    *handle = nccl().comms.add(std::move(comm));
    return begin_progress(**handle, Progress::init);
  });
}

ncclResult_t ncclCommGetAsyncError(ncclComm_t handle, ncclResult_t* async_error) {
  return nccl_call("ncclCommGetAsyncError", [&] {
    ncclComm* comm = find_comm(handle);
    if (comm == nullptr) return refuse(ncclInvalidArgument, "no communicator");
    *async_error = go_on(*comm);
    return ncclSuccess;
  });
}

ncclResult_t ncclCommFinalize(ncclComm_t comm) {
  return nccl_call("ncclCommFinalize", [&] {
    if (const ncclResult_t code = check_ready(comm); code != ncclSuccess) return code;
    return begin_progress(*comm, Progress::finalize);
  });
}

ncclResult_t ncclCommDestroy(ncclComm_t handle) {
  return nccl_release("ncclCommDestroy", [&] {
    ncclComm* comm = find_comm(handle);
    if (comm == nullptr) return refuse(ncclInvalidArgument, "no communicator");
    if (!comm->finalized || comm->progress != Progress::none) {
      return refuse(ncclInvalidUsage, "the communicator is not finalized");
    }
    const int code = MPI_Comm_free(&comm->link->comm);
    comm->link->hold->is_gone = true;
    return code == MPI_SUCCESS ? ncclSuccess : ncclInternalError;
  });
}

ncclResult_t ncclCommAbort(ncclComm_t handle) {
  return nccl_release("ncclCommAbort", [&] {
    ncclComm* const comm = find_comm(handle);
    if (comm == nullptr) return refuse(ncclInvalidArgument, "no communicator");
    abort(*comm);
    return ncclSuccess;
  });
}

ncclResult_t ncclMemAlloc(void** data, size_t bytes) {
  *data = nullptr;
  return nccl_call("ncclMemAlloc", [&] {
    if (refuse_in_capture() != cudaSuccess) return ncclUnhandledCudaError;
    if (bytes == 0 || bytes > size_t{Memory::kGpuBytes}) return ncclUnhandledCudaError;
    *data = state().memory.allocate(static_cast<int64_t>(bytes), Place::gpu);
    if (*data == nullptr) return ncclUnhandledCudaError;
    state().nccl_memory.insert(*data);
    return ncclSuccess;
  });
}

// Waits for nothing: who frees memory that queued work reads or writes is shown so by
// AddressSanitizer.
ncclResult_t ncclMemFree(void* data) {
  return nccl_release("ncclMemFree", [&] {
    if (!state().nccl_memory.contains(data))
      return refuse(ncclInvalidArgument, "not NCCL's memory");
    if (is_held(data, "ncclMemFree")) return refuse(ncclInvalidUsage, "memory that is held");
    state().nccl_memory.erase(data);
    return state().memory.free(data, Place::gpu) ? ncclSuccess : ncclInternalError;
  });
}

ncclResult_t ncclCommRegister(ncclComm_t handle, void* data, size_t bytes, void** registration) {
  *registration = nullptr;
  return nccl_call("ncclCommRegister", [&] {
    if (const ncclResult_t code = check_ready(handle); code != ncclSuccess) return code;
    const auto size = static_cast<int64_t>(bytes);
    if (!state().nccl_memory.contains(data) || !state().memory.is_gpu(data, size)) {
      return refuse(ncclInvalidArgument, "memory that is not NCCL's");
    }
    *registration = reinterpret_cast<void*>(++nccl().registrations);
    handle->link->hold->registered[*registration] = {data, size};
    return ncclSuccess;
  });
}

ncclResult_t ncclCommDeregister(ncclComm_t handle, void* registration) {
  return nccl_release("ncclCommDeregister", [&] {
    if (const ncclResult_t code = check_ready(handle); code != ncclSuccess) return code;
    auto& registered = handle->link->hold->registered;
    const auto found = registered.find(registration);
    if (found == registered.end()) return refuse(ncclInvalidUsage, "not registered");
    if (is_in_use(*handle, found->second)) return refuse(ncclInvalidUsage, "memory in use");
    registered.erase(found);
    return ncclSuccess;
  });
}

ncclResult_t ncclGroupStart() {
  return nccl_call("ncclGroupStart", [] {
    ++nccl().group_depth;
    return ncclSuccess;
  });
}

// Ends the group also where it is to fail.
ncclResult_t ncclGroupEnd() {
  const auto injected = count_call("ncclGroupEnd");
  if (nccl().group_depth == 0) return refuse(ncclInvalidUsage, "no group was begun");
  if (--nccl().group_depth > 0) return ncclSuccess;
  if (injected) {
    nccl().group = {};
    nccl().group_error = ncclSuccess;
    return refuse(static_cast<ncclResult_t>(*injected), kOnPurpose);
  }
  return end_group();
}

ncclResult_t ncclSend(const void* data, size_t count, ncclDataType_t type, int peer,
                      ncclComm_t comm, cudaStream_t stream) {
  return message_call("ncclSend", [&] {
    // Sends only read what they point to.
    auto* const bytes = static_cast<std::byte*>(const_cast<void*>(data));
    return add_message({true, bytes, static_cast<int64_t>(count), peer}, type, comm, stream);
  });
}

ncclResult_t ncclRecv(void* data, size_t count, ncclDataType_t type, int peer, ncclComm_t comm,
                      cudaStream_t stream) {
  return message_call("ncclRecv", [&] {
    auto* const bytes = static_cast<std::byte*>(data);
    return add_message({false, bytes, static_cast<int64_t>(count), peer}, type, comm, stream);
  });
}

// Within a group alone, as HashEP calls it.
ncclResult_t ncclAlltoAll(const void* sent, void* received, size_t count, ncclDataType_t type,
                          ncclComm_t comm, cudaStream_t stream) {
  return message_call("ncclAlltoAll", [&] {
    if (const ncclResult_t code = check_ready(comm); code != ncclSuccess) return code;
    auto* const from = static_cast<std::byte*>(const_cast<void*>(sent));  // which is only read
    auto* const to = static_cast<std::byte*>(received);
    const auto bytes = static_cast<int64_t>(count);
    for (int peer = 0; peer < comm->size; ++peer) {
      for (const bool is_send : {true, false}) {
        std::byte* const data = (is_send ? from : to) + peer * bytes;
        const ncclResult_t code = add_message({is_send, data, bytes, peer}, type, comm, stream);
        if (code != ncclSuccess) return code;
      }
    }
    return ncclSuccess;
  });
}

const char* ncclGetErrorString(ncclResult_t code) {
  switch (code) {
    case ncclSuccess:
      return "no error";
    case ncclUnhandledCudaError:
      return "unhandled cuda error";
    case ncclSystemError:
      return "unhandled system error";
    case ncclInternalError:
      return "internal error";
    case ncclInvalidArgument:
      return "invalid argument";
    case ncclInvalidUsage:
      return "invalid usage";
    case ncclRemoteError:
      return "remote process exited or there was a network error";
    case ncclInProgress:
      return "NCCL operation in progress";
    default:
      return "unknown result code";
  }
}

const char* ncclGetLastError(ncclComm_t) {
  return nccl().last_error.c_str();
}

}  // extern "C"
