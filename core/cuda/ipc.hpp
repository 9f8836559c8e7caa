// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "core/cuda/device_buffer.hpp"
#include "hashep/error.hpp"

namespace hashep {

/// Memory cannot be shared between these processes, as CUDA or the system refuses.
class IpcRefused : public RunError {
 public:
  using RunError::RunError;
};

/// What another process of the same host needs to map a buffer: bytes that may be sent to it.
struct IpcHandle {
  std::array<std::byte, 64> bytes{};
};

/// Throws RunError unless the buffer is of whole pages (whole_gpu_pages): to map any other is to
/// map what lies beside it too, at another address than one's own. Throws IpcRefused where it
/// cannot be shared. The handle is void when the buffer grows or goes, which it must not while it
/// is mapped anywhere.
IpcHandle export_memory(const DeviceBuffer& buffer);

/// Memory of another process's GPU (the same one or a peer, see can_access_peer), mapped for the
/// GPU that is current when it is made. Kernels and copies read and write it like their own; who
/// has written what is for flags or messages to tell. Mapping and unmapping take long and may wait
/// for the GPU, so they belong ahead of a step.
class IpcMapping {
 public:
  IpcMapping() = default;  // of nothing
  /// Throws IpcRefused, with what may be done about it, where the memory cannot be mapped. A
  /// process cannot map its own.
  explicit IpcMapping(const IpcHandle& handle);
  ~IpcMapping() { release(); }
  IpcMapping(IpcMapping&& other) noexcept;
  IpcMapping& operator=(IpcMapping&& other) noexcept;

  /// The beginning of the buffer that was exported; null for none.
  std::byte* data() const { return data_; }

 private:
  void release() noexcept;

  std::byte* data_ = nullptr;
};

}  // namespace hashep
