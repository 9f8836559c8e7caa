// SPDX-License-Identifier: Apache-2.0
#include "core/cuda/stream.hpp"

#include <utility>

#include "core/cuda/check_cuda.hpp"

namespace hashep {

CudaStream::CudaStream(Priority priority) {
  int lowest = 0;
  int highest = 0;
  check_cuda(cudaDeviceGetStreamPriorityRange(&lowest, &highest),
             "cudaDeviceGetStreamPriorityRange");
  check_cuda(cudaStreamCreateWithPriority(&handle_, cudaStreamNonBlocking,
                                          priority == Priority::highest ? highest : lowest),
             "cudaStreamCreateWithPriority");
}

CudaStream::~CudaStream() {
  if (handle_ != nullptr) warn_cuda(cudaStreamDestroy(handle_), "cudaStreamDestroy");
}

CudaStream::CudaStream(CudaStream&& other) noexcept
    : handle_(std::exchange(other.handle_, nullptr)) {}

void CudaStream::wait(const CudaEvent& event) const {
  wait_for(get(), event);
}

void CudaStream::synchronize() const {
  check_cuda(cudaStreamSynchronize(handle_), "cudaStreamSynchronize");
}

CudaEvent::CudaEvent(Kind kind) {
  const unsigned flags = kind == Kind::timing ? cudaEventDefault : cudaEventDisableTiming;
  check_cuda(cudaEventCreateWithFlags(&handle_, flags), "cudaEventCreateWithFlags");
}

CudaEvent::~CudaEvent() {
  if (handle_ != nullptr) warn_cuda(cudaEventDestroy(handle_), "cudaEventDestroy");
}

CudaEvent::CudaEvent(CudaEvent&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}

void CudaEvent::record(DeviceStream stream) const {
  check_cuda(cudaEventRecord(handle_, stream.handle), "cudaEventRecord");
}

void CudaEvent::record_in_graph(DeviceStream stream) const {
  cudaStreamCaptureStatus status = cudaStreamCaptureStatusNone;
  check_cuda(cudaStreamIsCapturing(stream.handle, &status), "cudaStreamIsCapturing");
  const unsigned flags =
      status == cudaStreamCaptureStatusActive ? cudaEventRecordExternal : cudaEventRecordDefault;
  check_cuda(cudaEventRecordWithFlags(handle_, stream.handle, flags), "cudaEventRecordWithFlags");
}

bool CudaEvent::is_done() const {
  const cudaError_t code = cudaEventQuery(handle_);
  if (code == cudaErrorNotReady) {
    cudaGetLastError();  // the next check of a kernel's launch would take it for its own
    return false;
  }
  check_cuda(code, "cudaEventQuery");
  return true;
}

void wait_for(DeviceStream stream, const CudaEvent& event) {
  check_cuda(cudaStreamWaitEvent(stream.handle, event.handle(), 0), "cudaStreamWaitEvent");
}

double microseconds_between(const CudaEvent& begin, const CudaEvent& end) {
  float milliseconds = 0.0f;
  check_cuda(cudaEventElapsedTime(&milliseconds, begin.handle(), end.handle()),
             "cudaEventElapsedTime");
  return 1e3 * static_cast<double>(milliseconds);
}

std::optional<double> microseconds_if_known(const CudaEvent& begin, const CudaEvent& end) {
  float milliseconds = 0.0f;
  const cudaError_t code = cudaEventElapsedTime(&milliseconds, begin.handle(), end.handle());
  // An event that was never recorded has no valid handle here.
  if (code == cudaErrorNotReady || code == cudaErrorInvalidResourceHandle) {
    cudaGetLastError();  // as in is_done
    return std::nullopt;
  }
  check_cuda(code, "cudaEventElapsedTime");
  return 1e3 * static_cast<double>(milliseconds);
}

void copy_async(void* to, const void* from, int64_t bytes, DeviceStream stream) {
  if (bytes == 0) return;
  check_cuda(
      cudaMemcpyAsync(to, from, static_cast<size_t>(bytes), cudaMemcpyDefault, stream.handle),
      "cudaMemcpyAsync");
}

void fill_async(void* to, int value, int64_t bytes, DeviceStream stream) {
  if (bytes == 0) return;
  check_cuda(cudaMemsetAsync(to, value, static_cast<size_t>(bytes), stream.handle),
             "cudaMemsetAsync");
}

}  // namespace hashep
