// SPDX-License-Identifier: Apache-2.0
// The runtime's calls about events.
#include <cuda_runtime_api.h>

#include <memory>

#include "tests/standin/state.hpp"

using namespace hashep::test::standin;

namespace {

constexpr float kMillisecondsPerTick = 1e-3f;

cudaError_t record(cudaEvent_t handle, cudaStream_t stream, bool external) {
  CUevent_st* event = state().events.find(handle);
  CUstream_st* found = find_stream(stream);
  if (event == nullptr || found == nullptr) return cudaErrorInvalidResourceHandle;
  if (external) {
    if (found->capture == nullptr) return cudaErrorInvalidValue;
    return capture_node(*found, {.event = event});
  }
  if (found->capture != nullptr) return capture_record(*found, *event);
  event->capture.reset();
  event->told_not_ready = false;
  event->replayed.reset();
  event->signal = push_record(*found);
  return cudaSuccess;
}

/// For calls that ask the host about an event.
cudaError_t check_event(const CUevent_st* event) {
  if (event == nullptr) return cudaErrorInvalidResourceHandle;
  if (const cudaError_t code = refuse_in_capture(); code != cudaSuccess) return code;
  return event->capture != nullptr ? cudaErrorCapturedEvent : cudaSuccess;
}

cudaError_t wait_on_host(const CUevent_st& event) {
  if (const auto signal = last_record(event)) {
    run_until(*signal);
    host_saw(signal->clock);
  }
  return state().work_error;
}

}  // namespace

extern "C" {

cudaError_t cudaEventCreateWithFlags(cudaEvent_t* event, unsigned flags) {
  return cuda_call("cudaEventCreateWithFlags", [&] {
    if ((flags & ~unsigned{cudaEventDisableTiming | cudaEventBlockingSync}) != 0) {
      return cudaErrorNotSupported;
    }
    auto made = std::make_unique<CUevent_st>();
    made->timing = (flags & cudaEventDisableTiming) == 0;
    *event = state().events.add(std::move(made));
    return cudaSuccess;
  });
}

cudaError_t cudaEventDestroy(cudaEvent_t event) {
  return cuda_release("cudaEventDestroy", [&] {
    return state().events.remove(event) ? cudaSuccess : cudaErrorInvalidResourceHandle;
  });
}

cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  return cuda_call("cudaEventRecord", [&] { return record(event, stream, false); });
}

cudaError_t cudaEventRecordWithFlags(cudaEvent_t event, cudaStream_t stream, unsigned flags) {
  return cuda_call("cudaEventRecordWithFlags",
                   [&] { return record(event, stream, flags == cudaEventRecordExternal); });
}

// Unless the order is eager, the first query after a record says that it is not ready, the next
// does what is missing as far as it goes: loops that poll come to an end, and code that asks once
// meets both answers.
cudaError_t cudaEventQuery(cudaEvent_t handle) {
  return cuda_call("cudaEventQuery", [&] {
    CUevent_st* event = state().events.find(handle);
    if (const cudaError_t code = check_event(event); code != cudaSuccess) return code;
    settle(*event);
    if (event->signal == nullptr) return state().work_error;
    if (!is_prompt() && !event->signal->done && !event->told_not_ready) {
      event->told_not_ready = true;
      return cudaErrorNotReady;
    }
    if (!look(*event->signal)) return cudaErrorNotReady;
    host_saw(event->signal->clock);
    return state().work_error;
  });
}

cudaError_t cudaEventSynchronize(cudaEvent_t handle) {
  return cuda_call("cudaEventSynchronize", [&] {
    const CUevent_st* event = state().events.find(handle);
    if (const cudaError_t code = check_event(event); code != cudaSuccess) return code;
    return wait_on_host(*event);
  });
}

// An event whose record in a replay is not done is not ready, also where the query of it still
// tells of the record before: the GPU may come to it between the two calls.
cudaError_t cudaEventElapsedTime(float* milliseconds, cudaEvent_t from, cudaEvent_t to) {
  return cuda_call("cudaEventElapsedTime", [&] {
    CUevent_st* begin = state().events.find(from);
    CUevent_st* end = state().events.find(to);
    for (CUevent_st* event : {begin, end}) {
      if (const cudaError_t code = check_event(event); code != cudaSuccess) return code;
      settle(*event);
      if (!event->timing || event->signal == nullptr) return cudaErrorInvalidResourceHandle;
    }
    for (const CUevent_st* event : {begin, end}) {
      if (!event->signal->done || event->replayed != nullptr) return cudaErrorNotReady;
    }
    const int64_t ticks = end->signal->time - begin->signal->time;
    *milliseconds = kMillisecondsPerTick * static_cast<float>(ticks);
    return cudaSuccess;
  });
}

}  // extern "C"
