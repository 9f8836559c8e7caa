// SPDX-License-Identifier: Apache-2.0
#include "core/cuda/ipc.hpp"

#include <cstring>
#include <string>
#include <utility>

#include "core/cuda/check_cuda.hpp"
#include "core/setting.hpp"
#include "core/units.hpp"
#include "hashep/error.hpp"

namespace hashep {
namespace {

static_assert(sizeof(IpcHandle) == sizeof(cudaIpcMemHandle_t));

/// check_cuda with what a user can do about it.
void check_ipc(cudaError_t code, const char* call, const CallPlace& where = CallPlace::current()) {
  try {
    check_cuda(code, call, where);
  } catch (const RunError& error) {
    throw IpcRefused(std::string(error.what()) +
                     "; processes of different users or in different containers cannot share GPU "
                     "memory: use " +
                     setting("transport") + " nccl");
  }
}

}  // namespace

IpcHandle export_memory(const DeviceBuffer& buffer) {
  const int64_t bytes = buffer.capacity();
  if (bytes == 0 || bytes != whole_gpu_pages(bytes)) {
    throw RunError("a GPU buffer of " + std::to_string(bytes) +
                   " bytes cannot be shared: it has to be of whole pages of " +
                   format_bytes(kGpuPageBytes));
  }
  cudaIpcMemHandle_t exported{};
  check_ipc(cudaIpcGetMemHandle(&exported, buffer.data()), "cudaIpcGetMemHandle");
  IpcHandle handle;
  std::memcpy(handle.bytes.data(), &exported, sizeof(exported));
  return handle;
}

IpcMapping::IpcMapping(const IpcHandle& handle) {
  cudaIpcMemHandle_t exported{};
  std::memcpy(&exported, handle.bytes.data(), sizeof(exported));
  void* memory = nullptr;
  check_ipc(cudaIpcOpenMemHandle(&memory, exported, cudaIpcMemLazyEnablePeerAccess),
            "cudaIpcOpenMemHandle");
  data_ = static_cast<std::byte*>(memory);
}

IpcMapping::IpcMapping(IpcMapping&& other) noexcept : data_(std::exchange(other.data_, nullptr)) {}

IpcMapping& IpcMapping::operator=(IpcMapping&& other) noexcept {
  std::swap(data_, other.data_);
  return *this;
}

void IpcMapping::release() noexcept {
  if (data_ != nullptr) {
    // CUDA does not say that closing waits for kernels that are on their way to this memory, and
    // where an error is thrown between their launch and what waits for them there are some.
    warn_cuda(cudaDeviceSynchronize(), "cudaDeviceSynchronize");
    warn_cuda(cudaIpcCloseMemHandle(data_), "cudaIpcCloseMemHandle");
  }
  data_ = nullptr;
}

}  // namespace hashep
