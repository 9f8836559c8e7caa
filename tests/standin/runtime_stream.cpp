// SPDX-License-Identifier: Apache-2.0
// The runtime's calls about streams, but captures.
#include <cuda_runtime_api.h>

#include <memory>

#include "tests/standin/state.hpp"

using namespace hashep::test::standin;

namespace {

constexpr int kLowestPriority = 0;
constexpr int kHighestPriority = -5;

cudaError_t make_stream(cudaStream_t* stream, unsigned flags) {
  // A stream that waits for the default stream would have to be taught that.
  if (flags != cudaStreamNonBlocking) return cudaErrorNotSupported;
  std::erase_if(state().streams.all(),
                [](const auto& old) { return old->destroyed && old->queue.empty(); });
  auto made = std::make_unique<CUstream_st>();
  made->number = state().streams_made++;
  *stream = state().streams.add(std::move(made));
  return cudaSuccess;
}

}  // namespace

extern "C" {

cudaError_t cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  return cuda_call("cudaStreamCreateWithFlags", [&] { return make_stream(stream, flags); });
}

cudaError_t cudaDeviceGetStreamPriorityRange(int* lowest, int* highest) {
  return cuda_call("cudaDeviceGetStreamPriorityRange", [&] {
    *lowest = kLowestPriority;
    *highest = kHighestPriority;
    return cudaSuccess;
  });
}

// A hint to a GPU, which the stand-in's orders do not follow. The real call takes any priority for
// the nearest one that there is: here one that there is not is a mistake.
cudaError_t cudaStreamCreateWithPriority(cudaStream_t* stream, unsigned flags, int priority) {
  return cuda_call("cudaStreamCreateWithPriority", [&] {
    if (priority > kLowestPriority || priority < kHighestPriority) return cudaErrorInvalidValue;
    return make_stream(stream, flags);
  });
}

cudaError_t cudaStreamDestroy(cudaStream_t stream) {
  return cuda_release("cudaStreamDestroy", [&] {
    CUstream_st* found = find_stream(stream);
    if (found == nullptr) return cudaErrorInvalidResourceHandle;
    leave_capture(*found);
    found->destroyed = true;
    return cudaSuccess;
  });
}

cudaError_t cudaStreamSynchronize(cudaStream_t stream) {
  return cuda_call("cudaStreamSynchronize", [&] {
    CUstream_st* found = find_stream(stream);
    if (found == nullptr) return cudaErrorInvalidResourceHandle;
    if (const cudaError_t code = refuse_in_capture(); code != cudaSuccess) return code;
    run_until(*found, found->asked);
    host_saw(found->clock);
    return state().work_error;
  });
}

cudaError_t cudaStreamQuery(cudaStream_t stream) {
  return cuda_call("cudaStreamQuery", [&] {
    CUstream_st* found = find_stream(stream);
    if (found == nullptr) return cudaErrorInvalidResourceHandle;
    if (const cudaError_t code = refuse_in_capture(); code != cudaSuccess) return code;
    if (!is_prompt() && found->done != found->asked && !found->told_not_ready) {
      found->told_not_ready = true;
      return cudaErrorNotReady;
    }
    if (!look(*found, found->asked)) return cudaErrorNotReady;
    found->told_not_ready = false;
    host_saw(found->clock);
    return state().work_error;
  });
}

cudaError_t cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned flags) {
  return cuda_call("cudaStreamWaitEvent", [&] {
    CUstream_st* waiting = find_stream(stream);
    CUevent_st* awaited = state().events.find(event);
    if (waiting == nullptr || awaited == nullptr) return cudaErrorInvalidResourceHandle;
    if (flags != cudaEventWaitDefault) return cudaErrorNotSupported;
    if (waiting->capture != nullptr || awaited->capture != nullptr) {
      return capture_wait(*waiting, *awaited);
    }
    if (const auto signal = last_record(*awaited)) push_wait(*waiting, signal);
    return cudaSuccess;
  });
}

}  // extern "C"
